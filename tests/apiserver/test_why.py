"""Every situation of a pod ends as a sentence in the status. No kubelet runs here: the tests write its words."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.space import container_status, ready_status

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def pod(space):
    """The one pod of a resource, as the scheduler finds it."""
    space.apply(make_body())
    return space.wait_for_pods(1)[0]["metadata"]["name"]


def ended(code, message="", reason="Error"):
    times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:30Z"}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


def report(code, message, step):
    return json.dumps({"code": code, "message": message, "next": step})


def test_no_node_fits(space, pod):
    message = "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }, 2 Insufficient cpu. preemption: none."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    space.set_pod_status(pod, {"phase": "Pending", "conditions": [condition]})
    why = space.wait_for_reason("bert", "Unschedulable")
    assert why == (
        "0/3 nodes can take a replica: 1 has the taint gpu, 2 have too little free CPU; a replica asks for "
        "CPU 1, ephemeral-storage 4Gi, memory 3Gi. Lower spec.resources.requests, free room, or add a node."
    )


def test_an_image_that_does_not_exist(space, pod):
    text = (
        'Back-off pulling image "llminference/server:dev": ErrImagePull: docker.io/llminference/server:dev: not found'
    )
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": text}}
    space.set_pod_status(pod, {"initContainerStatuses": [container_status("fetch", waiting)]})
    why = space.wait_for_reason("bert", "ImageUnavailable")
    assert why.startswith("The image llminference/server:dev does not exist: correct")


def test_a_failed_download_shows_the_message_and_the_next_step(space, pod):
    message = report("RevisionUnknown", "The hub has no revision nope of acme/bert", "correct spec.model.revision.")
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    fetch = container_status("fetch", state, last=ended(67, message), restarts=1)
    space.set_pod_status(pod, {"initContainerStatuses": [fetch]})
    why = space.wait_for_reason("bert", "RevisionUnknown")
    assert why == "The hub has no revision nope of acme/bert (RevisionUnknown). Correct spec.model.revision."
    assert space.condition("bert", "Stalled")["status"] == "True"


def test_out_of_memory_names_the_limit(space, pod):
    server = container_status("server", {"running": {}}, last=ended(137, reason="OOMKilled"), restarts=1)
    space.set_pod_status(pod, {"phase": "Running", "containerStatuses": [server]})
    assert "memory limit of 3Gi: raise spec.resources.limits.memory" in space.wait_for_reason("bert", "OutOfMemory")


def test_a_missing_secret_is_known_from_the_kubelets_event(space):
    space.apply(make_body(model={"id": "a/b", "tokenSecret": {"name": "hf"}}))
    pod = space.wait_for_pods(1)[0]["metadata"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "mount"},
        "involvedObject": {"kind": "Pod", "name": pod["name"], "namespace": space.namespace, "uid": pod["uid"]},
        "reason": "FailedMount",
        "type": "Warning",
        "message": 'MountVolume.SetUp failed for volume "hub-token" : secret "hf" not found',
    }
    space.apply(event)
    why = space.wait_for_reason("bert", "SecretMissing")
    assert why.startswith("The Secret hf for spec.model.tokenSecret does not exist: create it")


def test_a_quota_that_allows_no_pod(space):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"memory": "1Gi"}},
    }
    space.apply(quota)
    eventually(lambda: "hard" in space.need("resourcequota", "q").get("status", {}))
    space.apply(make_body())
    why = space.wait_for_reason("bert", "QuotaExceeded")
    assert "q, requested: memory=3Gi, used: memory=0, limited: memory=1Gi" in why


def test_from_download_to_serving(space, pod):
    running = container_status("fetch", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})
    space.set_pod_status(pod, {"initContainerStatuses": [running]})
    assert space.wait_for_reason("bert", "Downloading") == "Downloading google-bert/bert-large-uncased."

    fetched = container_status("fetch", ended(0, json.dumps({"revision": COMMIT, "bytes": 1234, "seconds": 2})))
    loading = container_status("server", {"running": {"startedAt": "2026-01-01T00:00:31Z"}})
    space.set_pod_status(pod, {"initContainerStatuses": [fetched], "containerStatuses": [loading], "phase": "Running"})
    space.wait_for_reason("bert", "Loading")

    body = space.need("pod", pod)
    space.set_pod_status(pod, ready_status(body) | {"initContainerStatuses": [fetched]})
    assert space.wait_for_reason("bert", "Serving") == ""
    status = space.status("bert")
    assert status["ready"] == "1/1"
    assert status["url"] == f"http://bert.{space.namespace}.svc"
    assert status["model"] == {"name": "google-bert/bert-large-uncased", "revision": COMMIT, "bytes": 1234}
    assert status["why"] == ""
    space.kubectl("wait", "--for=condition=Ready", "llmi/bert", "--timeout=1s")


def test_while_a_new_version_fails_the_old_one_keeps_its_url(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    space.patch("llmi", "bert", {"spec": {"engine": {"image": "nowhere/none:1"}}})
    fresh = next(item["metadata"]["name"] for item in space.wait_for_pods(2) if item["metadata"]["name"] != pod)
    waiting = {"waiting": {"reason": "InvalidImageName", "message": "bad"}}
    space.set_pod_status(fresh, {"initContainerStatuses": [container_status("fetch", waiting)]})
    why = space.wait_for_reason("bert", "ImageUnavailable")
    assert why.endswith("Until then 1 replica goes on answering.")
    assert space.condition("bert", "Available")["status"] == "True"
    assert space.condition("bert")["status"] == "False"
    assert space.status("bert")["url"]


def test_scaled_to_zero_and_back(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    space.kubectl("scale", "llmi/bert", "--replicas=0")
    space.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--ignore-not-found")
    assert "set spec.replicas to 1 or more" in space.wait_for_reason("bert", "ScaledToZero")
    assert "url" not in space.status("bert")
    space.kubectl("scale", "llmi/bert", "--replicas=1")
    space.wait_for_reason("bert", "Starting")


def test_a_load_balancer_without_address_does_not_hold_back_ready(space):
    space.apply(make_body(service={"type": "LoadBalancer", "port": 8000}))
    space.wait_for_pods(1)
    space.make_pods_ready()
    assert "Waiting for a load balancer address" in space.wait_for_reason("bert", "AddressPending")
    assert space.condition("bert")["status"] == "True"
    assert space.status("bert")["url"] == f"http://bert.{space.namespace}.svc:8000"
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}}
    space.patch("service", "bert", ingress, "--subresource=status")
    space.wait_for_reason("bert", "Serving")
    assert space.status("bert")["url"] == "http://198.51.100.7:8000"


def test_the_columns_of_kubectl_get(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    header, row = space.kubectl("get", "llmi").splitlines()
    assert header.split() == ["NAME", "MODEL", "ENGINE", "READY", "URL", "WHY", "AGE"]
    assert row.split()[:5] == [
        "bert", "google-bert/bert-large-uncased", "transformers", "1/1", f"http://bert.{space.namespace}.svc",
    ]  # fmt: skip
