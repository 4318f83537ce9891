"""Edits roll without losing a request; what somebody breaks by hand comes back."""

import itertools
import json
import subprocess

import pytest

import deploy
import kind_cluster
from llmi_testing.hub_pod import GOOD
from llmi_testing.live_cluster import eventually

BODY = {"inputs": "The capital of France is [MASK]."}
RATE = 10


@pytest.fixture
def served(cluster):
    cluster.apply("tiny", rollout={"drainSeconds": 10})
    cluster.wait_ready("tiny")
    return cluster


def pod_names(cluster):
    return {pod["metadata"]["name"] for pod in cluster.objects("pods", "tiny")}


def other_name_for(image):
    """The same image under a second name, on every node, without moving it again."""
    node_image = "docker.io/" + image
    other = node_image + "-again"
    for node in kind_cluster.workers():
        tag = ["docker", "exec", node.name, "ctr", "--namespace=k8s.io", "images", "tag", "--force", node_image, other]
        subprocess.run(tag, check=True, capture_output=True)
    return other.removeprefix("docker.io/")


@pytest.mark.parametrize(
    ("requests", "most"),
    [
        pytest.param(500, 2, id="each change once"),
        pytest.param(6000, 4, marks=[pytest.mark.soak, pytest.mark.timeout(1800)], id="again and again"),
    ],
)
def test_no_change_loses_a_request(cluster, hub, requests, most):
    cluster.apply(
        "tiny", model={"id": GOOD, "revision": "main", "endpoint": hub}, replicas=4, rollout={"drainSeconds": 10}
    )
    url = cluster.wait_ready("tiny")["url"]
    with cluster.load(url, rate=RATE, body=BODY) as load:
        for lap in itertools.count():
            make_every_change(cluster, lap, most)
            if load.progress().get("sent", 0) >= requests:
                break
    print(f"{load.result} in {lap + 1} laps")
    assert load.result["failed"] == 0, load.result
    assert load.result["answered"] == load.result["sent"] >= requests


def make_every_change(cluster, lap, most):
    """Once around, from whatever number of replicas to one."""
    edit(cluster, replicas=4)
    edit(cluster, replicas=1)
    edit(cluster, engine={"env": [{"name": "LAP", "value": str(lap)}]})
    edit(cluster, model={"revision": "v1" if lap % 2 == 0 else "main"})
    edit(cluster, engine={"image": other_name_for(cluster.server_image) if lap % 2 == 0 else None}, replicas=2)
    drain(cluster)
    cluster("delete", "pod", min(pod_names(cluster)), "--wait=false")
    settle(cluster, 2)
    edit(cluster, replicas=most)
    scale_down_by_autoscaler(cluster)


def edit(cluster, **spec):
    cluster.patch("tiny", **spec)
    settle(cluster, cluster.get("llmi", "tiny")["spec"]["replicas"])


def settle(cluster, replicas):
    """Wait until so many replicas of the present version answer, and nothing else is left."""
    cluster.wait_ready("tiny")
    eventually(lambda: len(pod_names(cluster)) == replicas, f"{replicas} pods are left")
    cluster.wait_ready("tiny")


def drain(cluster):
    """Empty a node as its owner would, as far as the model's replicas are concerned."""
    node = cluster.objects("pods", "tiny")[0]["spec"]["nodeName"]
    try:
        selector = "--pod-selector=llminference.dev/llminference=tiny"
        cluster.kubectl("drain", node, selector, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")
        settle(cluster, 2)
    finally:
        cluster.kubectl("uncordon", node)


def scale_down_by_autoscaler(cluster):
    """Let an autoscaler with so high a target take replicas away, while the operator is killed and started anew."""
    cluster.patch(
        "tiny",
        replicas=None,
        autoscaling={"maxReplicas": 4, "targets": {"cpuPercent": 1000}, "scaleDownDelaySeconds": 0},
    )
    eventually(lambda: cluster.get("hpa", "tiny"), "there is an autoscaler")
    system = ("-n", deploy.NAMESPACE)
    cluster.kubectl(*system, "delete", "pods", "--all", "--grace-period=0", "--force")
    cluster.kubectl(*system, "rollout", "status", deploy.OPERATOR, "--timeout=180s")
    eventually(lambda: len(pod_names(cluster)) == 1, "the autoscaler leaves one", seconds=330)
    cluster.patch("tiny", replicas=1, autoscaling=None)
    settle(cluster, 1)


@pytest.mark.parametrize("kind", ["deployment", "service"])
def test_a_child_that_somebody_deletes_comes_back(served, kind):
    old = served.get(kind, "tiny")["metadata"]["uid"]
    served("delete", kind, "tiny", "--wait=true")
    new = eventually(lambda: served.get(kind, "tiny"), "it is back")
    assert new["metadata"]["uid"] != old
    served.wait_ready("tiny")


def test_an_edit_by_hand_of_a_field_of_ours_is_reverted_and_a_foreign_one_is_kept(served):
    served("patch", "service", "tiny", "--type=merge", "-p", '{"spec":{"selector":{"app":"mine"}}}')
    served("annotate", "service", "tiny", "example.com/note=kept")
    eventually(lambda: "app" not in served.get("service", "tiny")["spec"]["selector"], "the selector is ours")
    assert served.get("service", "tiny")["metadata"]["annotations"]["example.com/note"] == "kept"


def test_the_leader_dies_and_another_goes_on_without_restarting_a_model(served):
    system = ("-n", deploy.NAMESPACE)
    lease = json.loads(served.kubectl(*system, "get", "lease", "-o", "json"))["items"][0]
    leader, pods = lease["spec"]["holderIdentity"], pod_names(served)
    operators = json.loads(served.kubectl(*system, "get", "pods", "-o", "json"))["items"]
    pod = next(p["metadata"]["name"] for p in operators if p["metadata"]["name"] in leader)
    served.kubectl(*system, "delete", "pod", pod, "--grace-period=0", "--force")

    def holder():
        body = json.loads(served.kubectl(*system, "get", "lease", lease["metadata"]["name"], "-o", "json"))
        return body["spec"].get("holderIdentity")

    eventually(lambda: holder() not in {leader, None, ""}, "another leads", seconds=60)
    served("delete", "service", "tiny")
    eventually(lambda: served.get("service", "tiny"), "the new leader works")
    assert pod_names(served) == pods
    restarts = [s["restartCount"] for p in served.objects("pods", "tiny") for s in p["status"]["containerStatuses"]]
    assert restarts == [0]


def test_a_new_version_that_never_gets_ready_leaves_the_old_one_serving_and_says_so(served):
    url = served.status("tiny")["url"]
    served.patch("tiny", engine={"image": "llminference/server:no-such-tag"})
    why = served.wait_why("tiny", "llminference/server:no-such-tag")
    assert why
    assert served.condition("tiny", "Available")["status"] == "True"
    assert served.ask(url, BODY)[0] == 200
    served.patch("tiny", engine={"image": None})
    served.wait_ready("tiny")


def test_a_new_version_that_answers_wrongly_stops_and_the_old_one_goes_on(served):
    url = served.status("tiny")["url"]
    with served.load(url, rate=RATE, body=BODY) as load:
        served.patch("tiny", verify=[{"input": BODY["inputs"], "expect": "london"}])
        why = served.wait_why("tiny", "VerifyFailed", "london", "paris", "Until then 1 replica goes on answering.")
        assert why
        assert served.condition("tiny", "Available")["status"] == "True"
        served.patch("tiny", verify=[{"input": BODY["inputs"], "expect": "paris"}])
        served.wait_ready("tiny")
    assert load.result["failed"] == 0, load.result
