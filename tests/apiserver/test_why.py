"""Every situation of a pod ends as a sentence in the status. No kubelet runs here: the tests write its words."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.situations import GAVE_UP
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


def ago(seconds):
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def give_up(space, pod, container, words):
    """Let a container end with a code, a fact and a next step, as the kubelet tells it."""
    message = json.dumps(dict(zip(("code", "message", "next"), words, strict=True)))
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    told = container_status(container, state, last=ended(67, message), restarts=1)
    kinds = {"fetch": "initContainerStatuses", "server": "containerStatuses"}
    space.set_pod_status(pod, {kind: [told] if name == container else None for name, kind in kinds.items()})


def scheduled(space, pod, *, seconds):
    """Give a pod a node, without one that would take it over, as it was some time ago."""
    target = {"apiVersion": "v1", "kind": "Node", "name": "node-a"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
    path = f"/api/v1/namespaces/{space.namespace}/pods/{pod}/binding"
    space.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(seconds)}
    space.set_pod_status(pod, {"conditions": [condition]})


def pod_event(space, pod, reason, text, *, seconds=0):
    """What the kubelet says about a pod."""
    metadata = space.need("pod", pod)["metadata"]
    involved = {"kind": "Pod", "name": pod, "namespace": space.namespace, "uid": metadata["uid"]}
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{pod}.{reason.lower()}"},
        "involvedObject": involved, "reason": reason, "type": "Normal", "message": text,
        "firstTimestamp": ago(seconds), "lastTimestamp": ago(seconds),
    }  # fmt: skip


def test_no_node_fits(space, pod):
    message = "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }, 2 Insufficient cpu. preemption: none."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    space.set_pod_status(pod, {"phase": "Pending", "conditions": [condition]})
    why = space.wait_for_reason("bert", "Unschedulable")
    assert why == (
        "0/3 nodes can take a replica: 1 has the taint gpu, 2 have too little free CPU; a replica asks for "
        "CPU 1, ephemeral-storage 4Gi, memory 3Gi. Lower spec.resources.requests, free room, or add a node. "
        "Grant the operator the role in deploy/cluster-reader, and it counts the nodes by cause."
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("corp/server:1: not found", "corp/server:1 does not exist: correct spec.engine.image, or push the image."),
        (
            "pull access denied: 401 Unauthorized",
            "may not be pulled: name a pull secret in spec.engine.imagePullSecrets",
        ),
        ("429 Too Many Requests - toomanyrequests: rate limit", "may not be pulled for now, its registry limits"),
        ("dial tcp: lookup corp: no such host", "its registry does not answer"),
    ],
)
def test_an_image_that_cannot_be_pulled(space, text, words):
    space.apply(make_body(engine={"image": "corp/server:1"}))
    pod = space.wait_for_pods(1)[0]["metadata"]["name"]
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "corp/server:1": {text}'}}
    space.set_pod_status(pod, {"initContainerStatuses": [container_status("fetch", waiting)]})
    assert words in space.wait_for_reason("bert", "ImageUnavailable")


def test_an_image_that_is_being_pulled(space, pod):
    scheduled(space, pod, seconds=60)
    initial = {"waiting": {"reason": "PodInitializing"}}
    space.set_pod_status(pod, {"initContainerStatuses": [container_status("fetch", initial)]})
    space.apply(pod_event(space, pod, "Pulling", 'Pulling image "llminference/server:dev"', seconds=45))
    why = space.wait_for_reason("bert", "PullingImage")
    assert why == "The node node-a has been pulling the image llminference/server:dev for 30 s."
    space.apply(pod_event(space, pod, "Pulled", "Successfully pulled image", seconds=0))
    space.wait_for_reason("bert", "Starting", seconds=60)


def test_a_failed_download_shows_the_message_and_the_next_step(space, pod):
    give_up(space, pod, "fetch", ("RevisionUnknown", "The hub has no revision nope of acme/bert", "correct it."))
    why = space.wait_for_reason("bert", "RevisionUnknown")
    assert why == "The hub has no revision nope of acme/bert (RevisionUnknown). Correct it."
    assert space.condition("bert", "Stalled")["status"] == "True"


def test_every_code_of_a_container_that_gave_up(space, pod):
    for code, (container, fact, step) in GAVE_UP.items():
        give_up(space, pod, container, (code, fact, step))
        assert space.wait_for_reason("bert", code) == f"{fact.rstrip('.')} ({code}). {step}"


def test_a_code_that_the_operator_does_not_know(space, pod):
    give_up(space, pod, "fetch", ("MoonFull", "The moon is full.", "Wait a week."))
    assert space.wait_for_reason("bert", "FetchFailed") == "The moon is full (MoonFull). Wait a week."
    give_up(space, pod, "server", ("SunDown", "The sun is down.", "Wait until morning."))
    assert space.wait_for_reason("bert", "StartFailed") == "The sun is down (SunDown). Wait until morning."


@pytest.mark.parametrize(
    ("cache", "words"),
    [({"size": "1Gi"}, "Raise spec.model.cache.size."), ({"claim": "shared"}, "Free room on the claim shared,")],
)
def test_a_cache_that_is_full(space, cache, words):
    space.apply(make_body(model={"id": "a/b", "cache": cache}))
    pod = space.wait_for_pods(1)[0]["metadata"]["name"]
    give_up(space, pod, "fetch", ("DiskFull", "The model needs 1281 MiB of disk", "Give more room."))
    assert words in space.wait_for_reason("bert", "DiskFull")


def test_out_of_memory_names_the_limit(space, pod):
    server = container_status("server", {"running": {}}, last=ended(137, reason="OOMKilled"), restarts=1)
    space.set_pod_status(pod, {"phase": "Running", "containerStatuses": [server]})
    assert "memory limit of 3Gi: raise spec.resources.limits.memory" in space.wait_for_reason("bert", "OutOfMemory")


def test_a_crash_loop_shows_the_last_line(space, pod):
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    server = container_status("server", state, last=ended(1, "line\nValueError: no\n"), restarts=3)
    space.set_pod_status(pod, {"phase": "Running", "containerStatuses": [server]})
    assert "ended with exit code 1 (ValueError: no): see kubectl logs" in space.wait_for_reason("bert", "CrashLoop")


def test_a_server_that_is_too_slow_for_its_probe(space):
    space.apply(make_body(rollout={"startupTimeoutSeconds": 30}))
    pod = space.wait_for_pods(1)[0]["metadata"]["name"]
    server = container_status("server", {"running": {}}, last=ended(137), restarts=1)
    space.set_pod_status(pod, {"phase": "Running", "containerStatuses": [server]})
    assert "did not answer /readyz within 30 s and was restarted" in space.wait_for_reason("bert", "ProbeFailing")


def test_a_server_that_falls_silent(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    stamp = ago(60)
    status = ready_status(space.need("pod", pod))
    for item in status["conditions"]:
        if item["type"] in {"Ready", "ContainersReady"}:
            item |= {"status": "False", "lastTransitionTime": stamp}
    server = status["containerStatuses"][0]
    status["containerStatuses"] = [server | {"ready": False, "state": {"running": {"startedAt": ago(300)}}}]
    space.set_pod_status(pod, status)
    assert "runs but does not answer /readyz" in space.wait_for_reason("bert", "ProbeFailing")


def test_a_replica_that_a_node_threw_out(space, pod):
    space.set_pod_status(pod, {"phase": "Failed", "reason": "Evicted", "message": "The node was low on disk."})
    why = space.wait_for_reason("bert", "Evicted")
    assert why.startswith("A node threw a replica out: The node was low on disk.")


def test_a_missing_secret_is_known_from_the_kubelets_event(space):
    space.apply(make_body(model={"id": "a/b", "tokenSecret": {"name": "hf"}}))
    pod = space.wait_for_pods(1)[0]["metadata"]["name"]
    text = 'MountVolume.SetUp failed for volume "hub-token" : secret "hf" not found'
    space.apply(pod_event(space, pod, "FailedMount", text))
    why = space.wait_for_reason("bert", "SecretMissing")
    assert why.startswith("The Secret hf for spec.model.tokenSecret does not exist: create it")


def test_a_missing_key_is_known_from_the_kubelets_event(space):
    space.apply(make_body(access={"apiKeySecret": {"name": "keys"}}))
    pod = space.wait_for_pods(1)[0]["metadata"]["name"]
    text = 'MountVolume.SetUp failed for volume "api-key" : references non-existent secret key: api-key'
    space.apply(pod_event(space, pod, "FailedMount", text))
    why = space.wait_for_reason("bert", "SecretMissing")
    assert why.startswith("The Secret keys has no key api-key")


def test_a_kind_that_the_cluster_does_not_have(space):
    space.apply(make_body(observability={"metrics": {"podMonitor": True}}))
    space.wait_for_pods(1)
    space.make_pods_ready()
    why = space.wait_for_reason("bert", "ApiMissing")
    assert why.startswith("This cluster has no PodMonitor: install what brings it")
    assert space.condition("bert")["status"] == "True"


def test_a_rollout_that_is_stuck(space, account, tmp_path, operator):
    # The deadline is ours to set and at least 90 s: a shorter one, set while no operator runs, passes at once.
    operator.stop()
    try:
        with OperatorProcess(account, tmp_path / "log") as process:
            eventually(process.is_leader)
            space.apply(make_body())
            space.wait_for_reason("bert", "Starting")
        space.patch("deployment", "bert", {"spec": {"progressDeadlineSeconds": 1}})
        eventually(lambda: "ProgressDeadlineExceeded" in str(space.need("deployment", "bert")["status"]))
        with OperatorProcess(account, tmp_path / "log"):
            why = space.wait_for_reason("bert", "RolloutStuck")
            assert "kubectl describe pods -l llminference.dev/llminference=bert" in why
            assert space.condition("bert", "Stalled")["status"] == "True"
    finally:
        operator.start()
        eventually(lambda: operator.is_ready() and operator.is_leader(), seconds=60)


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
    space.kubectl("wait", "--for=condition=Ready", "llmi/bert", "--timeout=60s")


def test_scaling_out(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    space.kubectl("scale", "llmi/bert", "--replicas=2")
    assert space.wait_for_reason("bert", "Scaling") == "1 of 2 replicas answer, more are starting."
    assert space.condition("bert")["status"] == "False"


def test_an_autoscaler_that_scales_out_takes_nothing_from_ready(space):
    space.apply(make_body(autoscaling={"maxReplicas": 4}))
    space.wait_for_pods(1)
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    since = space.condition("bert")["lastTransitionTime"]
    # In the autoscaler's place, through the same subresource.
    space.kubectl("scale", "deployment/bert", "--replicas=3")
    assert space.wait_for_reason("bert", "Scaling") == "1 of 3 replicas answer, more are starting."
    unplaced = next(item for item in space.wait_for_pods(3) if "containerStatuses" not in item["status"])
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no nodes available"}
    space.set_pod_status(unplaced["metadata"]["name"], {"conditions": [condition]})
    eventually(lambda: space.condition("bert", "Degraded").get("reason") == "Unschedulable")
    assert space.condition("bert")["status"] == "True"
    assert space.condition("bert")["lastTransitionTime"] == since
    assert space.status("bert")["ready"] == "1/3"
    assert space.status("bert")["why"].endswith("Until then 1 replica goes on answering.")


def set_autoscaler_status(space, condition, **status):
    """In the place of the autoscaler's controller; one that serves answers meanwhile."""
    space.wait_for_pods(1)
    space.make_pods_ready()
    eventually(lambda: space.get("hpa", "bert"))
    active = {"type": "ScalingActive", "lastTransitionTime": "2026-01-01T00:00:00Z", **condition}
    whole = {"conditions": [active], "currentReplicas": 1, "desiredReplicas": 1, **status}
    space.patch("hpa", "bert", {"status": whole}, "--subresource=status")


def test_an_autoscaler_without_metrics(space):
    space.apply(make_body(autoscaling={"maxReplicas": 4}))
    words = "no metrics returned from resource metrics API"
    set_autoscaler_status(space, {"status": "False", "reason": "FailedGetResourceMetric", "message": words})
    assert "The autoscaler gets no metrics" in space.wait_for_reason("bert", "AutoscalerBlind")
    assert space.condition("bert")["status"] == "True"


def test_an_autoscaler_by_the_queue_without_a_custom_metrics_api(space):
    space.apply(make_body(autoscaling={"maxReplicas": 4, "targets": {"inFlightPerReplica": 10}}))
    words = "unable to get metric llmi_requests_in_flight: no custom metrics API registered"
    set_autoscaler_status(space, {"status": "False", "reason": "FailedGetPodsMetric", "message": words})
    assert "kubectl apply -k deploy/metrics-adapter" in space.wait_for_reason("bert", "AutoscalerBlind")


def test_an_autoscaler_that_hears_nothing_of_the_queue(space):
    space.apply(make_body(autoscaling={"maxReplicas": 4, "targets": {"cpuPercent": 70, "inFlightPerReplica": 10}}))
    current = {"averageUtilization": 30, "averageValue": "300m"}
    cpu = {"type": "ContainerResource", "containerResource": {"container": "server", "name": "cpu", "current": current}}
    found = {"status": "True", "reason": "ValidMetricFound", "message": "found"}
    set_autoscaler_status(space, found, currentMetrics=[cpu, {"type": ""}])
    assert "is told nothing of requests in flight" in space.wait_for_reason("bert", "AutoscalerBlind")


def test_an_autoscaler_that_another_one_is_in_the_way_of(space):
    space.apply(make_body(autoscaling={"maxReplicas": 4}))
    words = f"pods by selector a=b are controlled by multiple HPAs: [{space.namespace}/bert {space.namespace}/mine]"
    set_autoscaler_status(space, {"status": "False", "reason": "AmbiguousSelector", "message": words})
    why = space.wait_for_reason("bert", "AutoscalerBlind")
    assert f"{space.namespace}/mine" in why
    assert "delete that one" in why


def test_paused_and_on_again(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    space.patch("llmi", "bert", {"spec": {"paused": True}})
    assert space.wait_for_reason("bert", "Paused") == "Paused, as asked for: edits wait until spec.paused is false."
    eventually(lambda: space.condition("bert")["status"] == "True")
    space.patch("llmi", "bert", {"spec": {"limits": {"maxQueuedRequests": 7}}})
    generation = space.need("llmi", "bert")["metadata"]["generation"]
    eventually(lambda: space.condition("bert").get("observedGeneration") == generation)
    assert space.condition("bert")["status"] == "False"
    space.patch("llmi", "bert", {"spec": {"paused": False}})
    space.wait_for_pods(2)


def test_a_resource_that_something_holds_while_it_is_deleted(space, pod):
    space.patch("llmi", "bert", {"metadata": {"finalizers": ["example.com/backup"]}})
    space.delete("llmi", "bert")
    why = space.wait_for_reason("bert", "Deleting")
    assert why.startswith("It is being deleted, and waits for the finalizer example.com/backup")
    assert space.condition("bert")["status"] == "False"
    space.patch("llmi", "bert", {"metadata": {"finalizers": None}})
    eventually(lambda: space.get("llmi", "bert") is None)


def test_a_replica_of_another_commit(space):
    space.apply(make_body(replicas=2))
    for letter, pod in zip("ab", space.wait_for_pods(2), strict=True):
        done = ended(0, json.dumps({"revision": letter * 40, "bytes": 1, "seconds": 1}), "Completed")
        fetch = {"initContainerStatuses": [container_status("fetch", done)]}
        space.set_pod_status(pod["metadata"]["name"], ready_status(pod) | fetch)
    why = space.wait_for_reason("bert", "MixedRevisions")
    assert "delete that pod, and its successor fetches the pinned one" in why
    assert space.condition("bert")["status"] == "True"


def test_an_upstream_move_is_told_once_and_is_no_reason_to_worry(space, pod):
    line = json.dumps({"revision": COMMIT, "bytes": 1, "seconds": 1, "upstream": "f" * 40})
    fetch = {"initContainerStatuses": [container_status("fetch", ended(0, line, "Completed"))]}
    space.set_pod_status(pod, ready_status(space.need("pod", pod)) | fetch)
    assert space.wait_for_reason("bert", "Serving") == ""
    assert space.status("bert")["model"]["upstreamRevision"] == "f" * 40
    told = eventually(lambda: [item for item in space.list("events") if item["reason"] == "UpstreamMoved"])
    assert [item["count"] for item in told] == [1]
    assert told[0]["message"] == f"Upstream has moved to commit {'f' * 40}: to follow, set spec.model.revision to it."


def test_ready_of_the_old_generation_does_not_outlive_an_edit(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    space.patch("llmi", "bert", {"spec": {"engine": {"image": "other/server:2"}}})
    generation = space.need("llmi", "bert")["metadata"]["generation"]
    # What is first said of the new one is already that it is not ready.
    seen = eventually(lambda: one if (one := space.condition("bert"))["observedGeneration"] == generation else None)
    assert seen["status"] == "False"


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
