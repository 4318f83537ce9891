import pytest

from llmi_operator.plan import Live, make_plan
from llmi_operator.plan.cache import needs_one_node
from llmi_testing.inference import DEFAULTS, make_resource


def children(live=None, *, replicas=1, **cache):
    resource = make_resource(model={"id": "a/b", "cache": cache}, replicas=replicas)
    return {child["kind"]: child for child in make_plan(resource, DEFAULTS, live or Live()).children}


@pytest.mark.parametrize(
    ("wanted", "live", "size"),
    [
        ("20Gi", None, "20Gi"),
        ("20Gi", "10Gi", "20Gi"),
        ("20Gi", "20480Mi", "20Gi"),
        ("20Gi", "30Gi", "30Gi"),
        (21474836480, "30Gi", "30Gi"),
    ],
)
def test_a_claim_grows_and_never_shrinks(wanted, live, size):
    claim = children(Live(cache_size=live), size=wanted)["PersistentVolumeClaim"]
    assert claim["spec"]["resources"]["requests"]["storage"] == size


def test_the_download_writes_the_cache_and_the_server_reads_it():
    pod = children(size="1Gi")["Deployment"]["spec"]["template"]["spec"]
    mounts = [
        next(mount for mount in container["volumeMounts"] if mount["name"] == "cache")
        for container in (*pod["initContainers"], *pod["containers"])
    ]
    assert mounts == [
        {"name": "cache", "mountPath": "/cache"},
        {"name": "cache", "mountPath": "/cache", "readOnly": True},
    ]


def test_a_cached_model_asks_for_no_disk_of_the_node():
    pod = children(size="1Gi")["Deployment"]["spec"]["template"]["spec"]
    assert "ephemeral-storage" not in pod["containers"][0]["resources"]["requests"]


def test_a_claim_of_the_users_is_used_and_never_made():
    made = children(claim="mine", replicas=2)
    assert "PersistentVolumeClaim" not in made
    assert "affinity" not in made["Deployment"]["spec"]["template"]["spec"]


def test_replicas_that_share_a_claim_of_one_node_run_together_and_are_drained_together():
    made = children(size="1Gi", replicas=2)
    (term,) = made["Deployment"]["spec"]["template"]["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"] == made["Deployment"]["spec"]["selector"]["matchLabels"]
    assert "PodDisruptionBudget" not in made
    assert "PodDisruptionBudget" in children(size="1Gi", accessMode="ReadWriteMany", replicas=2)


def test_without_a_cache_every_node_will_do():
    assert not needs_one_node(make_resource().spec.model)
