"""A table of situations: what is observed, and the reason and the words that the owner reads."""

import pytest

from llmi_api.failure import FailureCode
from llmi_operator.observed import AutoscalerState, Refusal, ServiceState
from llmi_operator.status.finding import Outlook
from llmi_operator.status.pods import Situation
from llmi_operator.status.rules import compute_finding
from llmi_testing.inference import DEFAULTS, make_resource
from llmi_testing.observations import (
    NOW,
    condition,
    container,
    deployment,
    end,
    failure,
    observed,
    pod,
    ready_pod,
    running,
)  # fmt: skip

SECRET = {"model": {"id": "a/b", "tokenSecret": {"name": "hf"}}, "access": {"apiKeySecret": {"name": "keys"}}}
CLAIM = {"model": {"claim": {"name": "models"}}}
IMAGE = {"model": {"image": {"reference": "registry.example/model:1"}}}


def waiting(reason, message="", name="server"):
    return container(name, waiting_reason=reason, waiting_message=message)


def unschedulable(message):
    return pod(conditions={"PodScheduled": condition("False", "Unschedulable", message)})


def mount(message):
    return pod(fetch=waiting("PodInitializing", name="fetch"), mount_failure=message)


def ended(name, *args, **kwargs):
    state = container(name, waiting_reason="CrashLoopBackOff", last=end(*args, **kwargs), restarts=1)
    return pod(**{name: state})


def condition_of(**conditions):
    return observed(deployment=deployment(conditions=conditions))


def case(name, spec, seen, reason, *words):
    return pytest.param(spec, seen, reason, words, id=name)


@pytest.mark.parametrize(
    ("spec", "seen", "reason", "words"),
    [
        case("going away", {}, observed(deleting=True), "Deleting"),
        case(
            "foreign object",
            {},
            observed(refusals=(Refusal("Service", "bert", foreign=True, message="Chart x"),)),
            "NameTaken",
            "There already is a Service bert that is not ours (it belongs to Chart x)",
            "give this LLMInference another name",
        ),
        case(
            "no permission",
            {},
            observed(refusals=(Refusal("Service", "bert", verb="apply", status=403, message='User "x" cannot patch'),)),
            "Forbidden",
            "may not apply Service bert: grant it",
        ),
        case(
            "admission policy",
            {},
            observed(refusals=(Refusal("Service", "bert", verb="apply", status=403, message="denied by policy"),)),
            "Refused",
            "refuses the Service bert: denied by policy",
        ),
        case(
            "invalid child",
            {},
            observed(refusals=(Refusal("Deployment", "bert", verb="apply", status=422, message="spec.x: bad"),)),
            "Refused",
            "spec.x: bad",
        ),
        case("scaled to zero", {"replicas": 0}, observed(deployment=deployment(0)), "ScaledToZero", "1 or more"),
        case("going to zero", {"replicas": 0}, observed(deployment=deployment(0, total=1)), "Scaling"),
        case("all well", {}, observed(ready_pod(), deployment=deployment(1, ready=1)), "Serving"),
        case(
            "not yet seen by the controller",
            {},
            observed(ready_pod(), deployment=deployment(1, ready=1, generation=2)),
            "Scaling",
        ),
        case(
            "an old replica is still there",
            {},
            observed(ready_pod(), deployment=deployment(1, ready=1, total=2)),
            "Scaling",
        ),
        case(
            "image not found",
            {},
            observed(pod(server=waiting("ImagePullBackOff", 'pulling "x": not found'))),
            "ImageUnavailable",
            "The image llminference/server:dev does not exist",
            "LLMI_OPERATOR_SERVER_IMAGE",
        ),
        case(
            "own image not allowed",
            {"engine": {"image": "corp/server:1"}},
            observed(pod(server=waiting("ErrImagePull", "401 Unauthorized"))),
            "ImageUnavailable",
            "corp/server:1 may not be pulled",
            "name a pull secret in spec.engine.imagePullSecrets, or correct spec.engine.image",
        ),
        case(
            "model image not found",
            IMAGE,
            observed(pod(server=waiting("ErrImagePull", 'failed to pull "registry.example/model:1": not found'))),
            "ImageUnavailable",
            "registry.example/model:1 does not exist: correct spec.model.image.reference",
        ),
        case(
            "registry silent",
            {},
            observed(pod(server=waiting("ErrImagePull", "dial tcp: lookup x: no such host"))),
            "ImageUnavailable",
            "its registry does not answer",
        ),
        case(
            "bad image name", {}, observed(pod(server=waiting("InvalidImageName"))), "ImageUnavailable", "invalid name"
        ),
        case(
            "image not on the node",
            {},
            observed(pod(server=waiting("ErrImageNeverPull"))),
            "ImageUnavailable",
            "load it onto the nodes",
        ),
        case(
            "hub token Secret missing",
            SECRET,
            observed(mount('MountVolume.SetUp failed for volume "hub-token" : secret "hf" not found')),
            "SecretMissing",
            "The Secret hf for spec.model.tokenSecret does not exist",
        ),
        case(
            "API key Secret missing",
            SECRET,
            observed(mount('MountVolume.SetUp failed for volume "api-key" : secret "keys" not found')),
            "SecretMissing",
            "The Secret keys for spec.access.apiKeySecret does not exist",
        ),
        case(
            "key missing",
            SECRET,
            observed(
                mount('MountVolume.SetUp failed for volume "hub-token" : references non-existent secret key: token')
            ),
            "SecretMissing",
            "The Secret hf has no key token: add the key, or correct its name in spec.model.tokenSecret.",
        ),
        case(
            "a mount failure that has passed",
            SECRET,
            observed(pod(fetch=running("fetch"), mount_failure='secret "hf" not found')),
            "Downloading",
        ),
        case(
            "volume not mounted",
            CLAIM,
            observed(pod(mount_failure='MountVolume.SetUp failed for volume "model" : nfs timeout')),
            "VolumeUnavailable",
            "The claim models cannot be mounted",
        ),
        case(
            "claim missing",
            CLAIM,
            observed(unschedulable('0/1 nodes are available: persistentvolumeclaim "models" not found. preemption: x')),
            "VolumeUnavailable",
            "The claim models does not exist: create it",
        ),
        case(
            "claim unbound",
            CLAIM,
            observed(unschedulable("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")),
            "VolumeUnavailable",
            "kubectl describe pvc",
        ),
        case(
            "no GPU free",
            {"accelerator": {}},
            observed(
                unschedulable(
                    "0/3 nodes are available: 1 node(s) had untolerated taint {spot: }, 2 Insufficient nvidia.com/gpu."
                )
            ),
            "Unschedulable",
            "0/3 nodes can take a replica: 1 has the taint spot, 2 have no free nvidia.com/gpu; a replica asks for",
            "nvidia.com/gpu 1. Free a nvidia.com/gpu",
        ),
        case(
            "no node with the label, in the words of Kubernetes 1.36",
            {"scheduling": {"nodeSelector": {"pool": "unicorn"}}},
            observed(
                unschedulable(
                    "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node "
                    "affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption "
                    "is not helpful for scheduling."
                )
            ),
            "Unschedulable",
            "1 has a taint that is not tolerated, ",
            "2 do not have the label pool=unicorn of spec.scheduling.nodeSelector.",
        ),
        case(
            "too little CPU, in the words of Kubernetes 1.36",
            {"resources": {"requests": {"cpu": "64"}}},
            observed(
                unschedulable(
                    "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to "
                    "deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
                )
            ),
            "Unschedulable",
            "2 have too little free CPU; a replica asks for CPU 64,",
        ),
        case(
            "no nodes at all",
            {},
            observed(unschedulable("no nodes available to schedule pods")),
            "Unschedulable",
            "no nodes available",
        ),
        case(
            "download gave up",
            {},
            observed(
                ended("fetch", 70, failure("AccessGated", "The model a/b is gated", "set spec.model.tokenSecret."))
            ),
            "AccessGated",
            "The model a/b is gated (AccessGated). Set spec.model.tokenSecret.",
        ),
        case(
            "server gave up",
            {},
            observed(ended("server", 76, failure("TaskMismatch", "The model has no head for it", "change spec.task."))),
            "TaskMismatch",
            "(TaskMismatch). Change spec.task.",
        ),
        case(
            "server says it ran out of memory",
            {},
            observed(ended("server", 78, failure("OutOfMemory", "Loading needs 5Gi", "raise the limit."))),
            "OutOfMemory",
            "Loading needs 5Gi (OutOfMemory)",
        ),
        case(
            "killed by the kernel",
            {"resources": {"limits": {"memory": "512Mi"}}},
            observed(ended("server", 137, reason="OOMKilled")),
            "OutOfMemory",
            "The server was killed at its memory limit of 512Mi: raise spec.resources.limits.memory",
        ),
        case("killed, reason lost", {}, observed(ended("fetch", 137)), "OutOfMemory", "The download was killed"),
        case(
            "running again after it was killed",
            {},
            observed(pod(server=running(last=end(137, reason="OOMKilled")))),
            "OutOfMemory",
        ),
        case(
            "killed for not answering",
            {"rollout": {"startupTimeoutSeconds": 100}},
            observed(ended("server", 137, ran=110)),
            "ProbeFailing",
            "did not answer /readyz within 100 s",
        ),
        case(
            "ended politely for not answering",
            {"rollout": {"startupTimeoutSeconds": 100}},
            observed(ended("server", 0, ran=100, reason="Completed")),
            "ProbeFailing",
        ),
        case(
            "a download that succeeded at the second attempt",
            {},
            observed(
                pod(fetch=container("fetch", terminated=end(0, reason="Completed"), last=end(73)), server=running())
            ),
            "Loading",
        ),
        case(
            "a crash that the server has got over",
            {},
            observed(
                pod(
                    server=running(started=True, last=end(1)),
                    conditions={"Ready": condition("False", seconds=5)},
                )
            ),
            "Starting",
        ),
        case(
            "a download that is tried again",
            {},
            observed(pod(fetch=running("fetch", last=end(73, failure("HubUnreachable", "No answer", "wait."))))),
            "HubUnreachable",
        ),
        case(
            "crash with a last word",
            {},
            observed(ended("server", 1, "line\nValueError: no\n")),
            "CrashLoop",
            "ended with exit code 1 (ValueError: no): see kubectl logs bert-1-a -c server --previous",
        ),
        case("server that ends without fault", {}, observed(ended("server", 0, reason="Completed")), "CrashLoop"),
        case(
            "quota",
            {},
            condition_of(
                ReplicaFailure=condition("True", "FailedCreate", 'pods "b" is forbidden: exceeded quota: q, used: 1')
            ),
            "QuotaExceeded",
            "ResourceQuota (q, used: 1)",
        ),
        case(
            "limit range",
            {},
            condition_of(ReplicaFailure=condition("True", "FailedCreate", "maximum memory usage per Container is 1Gi")),
            "LimitRangeExceeded",
            "maximum memory usage",
        ),
        case(
            "thrown out",
            {},
            observed(pod("a", phase="Failed", reason="Evicted", message="The node was low on disk."), pod("b")),
            "Evicted",
            "The node was low on disk. Raise",
        ),
        case(
            "stuck without a known cause",
            {},
            condition_of(Progressing=condition("False", "ProgressDeadlineExceeded")),
            "RolloutStuck",
        ),
        case("downloading", {}, observed(pod(fetch=running("fetch"))), "Downloading", "google-bert/bert-large-uncased"),
        case("loading", {}, observed(pod(server=running())), "Loading"),
        case("nothing there yet", {}, observed(deployment=None), "Starting"),
        case(
            "more wanted",
            {"replicas": 2},
            observed(ready_pod(), pod("b"), deployment=deployment(2, ready=1)),
            "Scaling",
            "1 of 2 replicas answer",
        ),
        case(
            "silent for a moment",
            {},
            observed(pod(server=running(started=True), conditions={"Ready": condition("False", seconds=5)})),
            "Starting",
        ),
        case(
            "started after a long time, and not yet asked whether it is ready",
            {},
            observed(
                pod(server=running(seconds=300, started=True), conditions={"Ready": condition("False", seconds=400)})
            ),
            "Starting",
            "has started and is not ready yet",
        ),
        case(
            "silent for long",
            {},
            observed(pod(server=running(started=True), conditions={"Ready": condition("False", seconds=50)})),
            "ProbeFailing",
            "runs but does not answer",
        ),
        case(
            "load balancer without address",
            {"service": {"type": "LoadBalancer"}},
            observed(ready_pod(), deployment=deployment(1, ready=1), service=ServiceState("LoadBalancer")),
            "AddressPending",
            "Waiting for a load balancer address",
        ),
        case(
            "autoscaler without metrics",
            {"autoscaling": {"maxReplicas": 3}},
            observed(
                ready_pod(),
                deployment=deployment(1, ready=1),
                autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetResourceMetric", "no", 500)}),
            ),
            "AutoscalerBlind",
            "install metrics-server",
        ),
        case(
            "new autoscaler",
            {"autoscaling": {"maxReplicas": 3}},
            observed(
                ready_pod(),
                deployment=deployment(1, ready=1),
                autoscaler=AutoscalerState({"ScalingActive": condition("False", "FailedGetResourceMetric", "no", 20)}),
            ),
            "Serving",
        ),
    ],
)
def test_the_reason_and_its_words(spec, seen, reason, words):
    finding = compute_finding(seen, Situation(make_resource(**spec), DEFAULTS, NOW))
    assert finding.reason == reason, finding
    for word in words:
        assert word in finding.sentence


@pytest.mark.parametrize("code", FailureCode)
def test_every_failure_code_is_its_own_reason_from_both_containers(code):
    for name in ("fetch", "server"):
        seen = observed(ended(name, 64, failure(code, "It broke", "mend it.")))
        finding = compute_finding(seen, Situation(make_resource(), DEFAULTS, NOW))
        assert (finding.reason, finding.sentence) == (code, f"It broke ({code}). Mend it.")


def test_a_cause_that_passes_by_itself_does_not_stall():
    seen = observed(ended("fetch", 73, failure("HubUnreachable", "No answer", "check the network.")))
    assert compute_finding(seen, Situation(make_resource(), DEFAULTS, NOW)).outlook is Outlook.FAULT


def test_faults_of_an_older_version_are_history():
    old = pod("old", server=waiting("InvalidImageName"), revision="0")
    finding = compute_finding(
        observed(old, pod("new", created_at=NOW, fetch=running("fetch"))), Situation(make_resource(), DEFAULTS, NOW)
    )
    assert finding.reason == "Downloading"


def test_of_two_versions_made_in_the_same_second_the_one_that_answers_is_the_older():
    new = pod("a-new", server=container(waiting_reason="InvalidImageName"), revision="2")
    seen = observed(ready_pod("z-old"), new, deployment=deployment(1, ready=1, total=2))
    assert compute_finding(seen, Situation(make_resource(), DEFAULTS, NOW)).reason == "ImageUnavailable"


def test_a_fault_of_one_pod_is_found_behind_a_healthy_one():
    seen = observed(ready_pod("a"), pod("b", server=waiting("InvalidImageName")), deployment=deployment(2, ready=1))
    assert compute_finding(seen, Situation(make_resource(), DEFAULTS, NOW)).reason == "ImageUnavailable"
