"""Properties of every plan, whatever the spec."""

import copy
import json

from hypothesis import given
from hypothesis import strategies as st

from llmi_api import labels
from llmi_api.launch import ENVIRONMENT_PREFIX, FetchLaunch, ServeLaunch
from llmi_operator.plan import Live, make_plan
from llmi_operator.plan.drift import covers
from llmi_operator.plan.names import PLAN_HASH_ANNOTATION
from llmi_operator.plan.replicas import ReplicasOwner
from llmi_testing.inference import DEFAULTS, make_resource

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
SOURCES = st.one_of(
    st.builds(lambda token: {"id": "a/b", "tokenSecret": {"name": token}}, NAMES),
    st.just({"id": "a/b", "revision": "v1", "endpoint": "https://hub.example"}),
    st.builds(lambda name: {"claim": {"name": name, "path": "x/y"}}, NAMES),
    st.just({"image": {"reference": "registry.example/model:1"}}),
)
SPECS = st.fixed_dictionaries(
    {"model": SOURCES},
    optional={
        "replicas": st.integers(0, 9),
        "accelerator": st.just({"resource": "amd.com/gpu"}) | st.just({}),
        "access": st.builds(lambda name: {"apiKeySecret": {"name": name}}, NAMES),
        "service": st.fixed_dictionaries({"type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"])}),
        "scheduling": st.builds(
            lambda labels: {"nodeSelector": labels, "tolerations": [{"key": "a", "operator": "Exists"}]},
            st.dictionaries(NAMES, NAMES, max_size=3),
        ),
    },
)


def plan(spec, live=None):
    return make_plan(make_resource(**spec), DEFAULTS, live or Live())


def deployment(spec, live=None):
    (found,) = (child for child in plan(spec, live).children if child["kind"] == "Deployment")
    return found["spec"]


@given(SPECS)
def test_the_same_spec_gives_the_same_plan(spec):
    assert json.dumps(plan(spec).children) == json.dumps(plan(copy.deepcopy(spec)).children)


@given(SPECS)
def test_an_applied_plan_needs_no_second_apply(spec):
    for child in plan(spec).children:
        assert covers(copy.deepcopy(child), child)


@given(SPECS, SPECS)
def test_different_manifests_have_different_hashes(one, other):
    for a, b in zip(plan(one).children, plan(other).children, strict=False):
        hashes = [item["metadata"]["annotations"][PLAN_HASH_ANNOTATION] for item in (a, b)]
        assert (a == b) == (hashes[0] == hashes[1])


@given(SPECS)
def test_every_child_is_owned_labelled_and_in_the_namespace_of_its_resource(spec):
    for child in plan(spec).children:
        metadata = child["metadata"]
        assert metadata["namespace"] == "models"
        assert metadata["ownerReferences"][0]["controller"] is True
        assert metadata["labels"][labels.MANAGED_BY_LABEL] == labels.MANAGED_BY
        assert metadata["labels"][labels.OWNER_LABEL] == "bert"


@given(SPECS)
def test_every_variable_is_one_that_the_server_reads(spec):
    pod = deployment(spec)["template"]["spec"]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        launch = FetchLaunch if container["name"] == "fetch" else ServeLaunch
        for item in container["env"]:
            if item["name"].startswith(ENVIRONMENT_PREFIX):
                assert item["name"].removeprefix(ENVIRONMENT_PREFIX).lower() in launch.model_fields


@given(SPECS)
def test_every_mount_has_its_volume_and_only_the_download_sees_the_hub_token(spec):
    pod = deployment(spec)["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounted = set()
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        names = {mount["name"] for mount in container["volumeMounts"]}
        assert container["name"] == "fetch" or "hub-token" not in names
        mounted |= names
    assert mounted == volumes


def test_the_pod_template_does_not_depend_on_replicas_service_or_autoscaling():
    templates = [
        deployment(spec)["template"]
        for spec in ({}, {"replicas": 7}, {"autoscaling": {"maxReplicas": 2}}, {"service": {"port": 81}})
    ]
    assert all(template == templates[0] for template in templates)


def test_replicas_are_in_the_manifest_only_while_they_are_ours():
    on = {"autoscaling": {"minReplicas": 2, "maxReplicas": 3}}
    assert deployment({"replicas": 5})["replicas"] == 5
    live = Live(replicas=5, replicas_owner=ReplicasOwner.OPERATOR)
    assert "replicas" not in deployment(on, live)
    assert plan(on, live).hand_over == 5


def test_what_an_autoscaler_left_keeps_its_disruption_budget():
    def kinds(live):
        return {child["kind"] for child in plan({}, live).children}

    assert "PodDisruptionBudget" in kinds(Live(replicas=4, replicas_owner=ReplicasOwner.AUTOSCALER))
    assert "PodDisruptionBudget" not in kinds(Live(replicas=1, replicas_owner=ReplicasOwner.AUTOSCALER))
    assert "PodDisruptionBudget" not in kinds(Live(replicas=4, replicas_owner=ReplicasOwner.OTHER))
