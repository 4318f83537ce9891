"""Edits roll without losing a request; what somebody breaks by hand comes back."""

import json
import subprocess

import pytest

import deploy
import kind_cluster
from llmi_testing.live_cluster import eventually

BODY = {"inputs": "The capital of France is [MASK]."}
RATE = 5


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


def test_edits_of_limits_replicas_and_image_lose_no_request(served, server_image):
    with served.load(served.status("tiny")["url"], rate=RATE, body=BODY) as load:
        before = pod_names(served)
        served.patch("tiny", limits={"maxQueuedRequests": 99})
        served.wait_ready("tiny")
        eventually(lambda: not (before & pod_names(served)), "the old pod is gone")
        served.patch("tiny", replicas=2)
        served.wait_ready("tiny")
        served.patch("tiny", replicas=1, engine={"image": other_name_for(server_image)})
        served.wait_ready("tiny")
        eventually(lambda: len(pod_names(served)) == 1, "one pod is left")
    assert load.result["failed"] == 0, load.result
    assert load.result["answered"] == load.result["sent"] > 100


@pytest.mark.parametrize("kind", ["deployment", "service"])
def test_a_child_that_somebody_deletes_comes_back(served, kind):
    old = served.get(kind, "tiny")["metadata"]["uid"]
    served("delete", kind, "tiny", "--wait=true")
    new = eventually(lambda: served.get(kind, "tiny"), "it is back", seconds=15)
    assert new["metadata"]["uid"] != old
    served.wait_ready("tiny")


def test_an_edit_by_hand_of_a_field_of_ours_is_reverted_and_a_foreign_one_is_kept(served):
    served("patch", "service", "tiny", "--type=merge", "-p", '{"spec":{"selector":{"app":"mine"}}}')
    served("annotate", "service", "tiny", "example.com/note=kept")
    eventually(
        lambda: "app" not in served.get("service", "tiny")["spec"]["selector"], "the selector is ours", seconds=15
    )
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
    eventually(lambda: served.get("service", "tiny"), "the new leader works", seconds=30)
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
