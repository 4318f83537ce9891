"""What is wrong with a pod: small checks in order of importance; the first that finds something wins."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from llmi_api.failure import FailureCode
from llmi_api.v1alpha1 import Reason, RolloutMode
from llmi_operator.observed import Capacity, ContainerState, PodState, Termination
from llmi_operator.parse import Resource
from llmi_operator.plan.engines import find_engine, find_probes
from llmi_operator.plan.names import FETCH_CONTAINER
from llmi_operator.plan.resources import build_resources
from llmi_operator.plan.rollout import RolloutDecision
from llmi_operator.plan.timing import STARTUP_PERIOD_SECONDS, compute_grace_seconds
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.finding import Finding, Outlook, quote_words
from llmi_operator.status.images import find_image_fault
from llmi_operator.status.progress import describe_progress
from llmi_operator.status.reports import read_failure
from llmi_operator.status.scheduling import explain_unschedulable

KILLED = 137
SILENCE_SECONDS = 30
"""A started server may be unready this long, under load, before somebody is told."""
_SECRET = re.compile(r"secrets? \"?(?:[^\s\"/]+/)?([^\s\"/]+)\"? not found", re.IGNORECASE)
_SECRET_KEY = re.compile(r"non-existent secret key: (\S+)|couldn't find key (\S+) in Secret", re.IGNORECASE)
# Causes that lie outside the resource and pass without a change to it.
_PASSING = frozenset({FailureCode.HUB_UNREACHABLE, FailureCode.HASH_MISMATCH, FailureCode.DISK_FULL})


@dataclass(frozen=True)
class Situation:
    """All that a check on a pod may look at.

    Attributes:
        rollout: How replicas are replaced.
        leaving: A replica is being stopped, so that its room comes free.
        older: Replicas of an older version are there.
        fit: A sentence, where the model will not fit into any accelerator that a replica could get.
    """

    resource: Resource
    defaults: ServerDefaults
    now: datetime
    pin: str | None = None
    capacity: Capacity | None = None
    capacity_denied: bool = False
    rollout: RolloutDecision | None = None
    leaving: bool = False
    older: bool = False
    fit: str = ""


Check = Callable[[PodState, Situation], Finding | None]


def find_pod_fault(pods: tuple[PodState, ...], situation: Situation) -> Finding | None:
    """Say what is wrong with the pods; the most telling fault of any pod wins."""
    for check in CHECKS:
        for pod in pods:
            finding = None if pod.ready else check(pod, situation)
            if finding is not None:
                return finding
    return None


def check_image(pod: PodState, situation: Situation) -> Finding | None:
    """The kubelet cannot get an image."""
    return find_image_fault(pod, situation.resource)


def check_secret(pod: PodState, situation: Situation) -> Finding | None:
    """A Secret, or its key, does not exist."""
    words = [item.waiting_message for item in pod.containers if item.waiting_reason == "CreateContainerConfigError"]
    if not pod.has_begun:
        words.append(pod.mount_failure)
    for text in words:
        key, secret = _SECRET_KEY.search(text), _SECRET.search(text)
        if key:
            name = key[1] or key[2]
            return Finding(
                Reason.SECRET_MISSING,
                f"The Secret {_find_secret(text, situation.resource)} has no key {name}: add the key, or correct its "
                f"name in {_find_use(text, situation.resource)}.",
                Outlook.FAULT,
            )
        if secret:
            use = _find_use(text, situation.resource)
            return Finding(
                Reason.SECRET_MISSING,
                f"The Secret {secret[1]} for {use} does not exist: create it in the namespace "
                f"{situation.resource.namespace}, or correct {use}.",
                Outlook.FAULT,
            )
    return None


def check_volume(pod: PodState, situation: Situation) -> Finding | None:
    """A volume cannot be mounted."""
    if pod.has_begun or not pod.mount_failure:
        return None
    claim = situation.resource.spec.model.claim
    what = f"The claim {claim.name}" if claim and "model" in pod.mount_failure else "A volume"
    return Finding(
        Reason.VOLUME_UNAVAILABLE,
        f"{what} cannot be mounted: {quote_words(pod.mount_failure)}. See kubectl describe pod {pod.name}.",
        Outlook.FAULT,
    )


def check_gated(pod: PodState, situation: Situation) -> Finding | None:
    """Something holds the pod back before the scheduler looks at it."""
    condition = pod.conditions.get("PodScheduled")
    if condition is None or condition.status == "True" or condition.reason != "SchedulingGated":
        return None
    scheduling = situation.resource.spec.scheduling
    queue, namespace = scheduling and scheduling.queue_name, situation.resource.namespace
    if queue:
        sentence = (
            f"The replica {pod.name} waits in the queue {queue} until Kueue admits it: see kubectl -n {namespace} get "
            "workloads, or correct spec.scheduling.queueName."
        )
    else:
        sentence = (
            f"The replica {pod.name} is held back by a scheduling gate: see kubectl -n {namespace} get pod {pod.name} "
            "-o yaml, and whoever set it must take it away."
        )
    return Finding(Reason.QUEUED, sentence, Outlook.PROGRESS)


def check_unschedulable(pod: PodState, situation: Situation) -> Finding | None:
    """No node fits the pod."""
    condition = pod.conditions.get("PodScheduled")
    if condition is None or condition.status == "True" or condition.reason != "Unschedulable":
        return None
    waits = _find_successor(pod, situation)
    if waits is not None:
        return waits
    finding = explain_unschedulable(
        condition.message,
        situation.resource,
        situation.defaults,
        needs=pod.needs,
        capacity=situation.capacity,
        denied=situation.capacity_denied,
    )
    finding = replace(finding, sentence=f"{finding.sentence} {situation.fit}".rstrip())
    if not (situation.older and situation.resource.spec.rollout.mode is RolloutMode.SURGE):
        return finding
    return replace(finding, sentence=f"{finding.sentence} With spec.rollout.mode Auto, an old replica makes room.")


def _find_successor(pod: PodState, situation: Situation) -> Finding | None:
    """A replica that gets the room of an older one, so that nobody has to do anything."""
    accelerator, rollout = situation.resource.spec.accelerator, situation.resource.spec.rollout
    if accelerator is not None and situation.leaving:
        longest = compute_grace_seconds(rollout.drain_seconds)
        sentence = f"The replica {pod.name} waits for an older one to stop, which takes at most {longest} s."
        return Finding(Reason.STARTING, sentence, Outlook.PROGRESS)
    decision = situation.rollout
    if accelerator is not None and decision and decision.waits and decision.mode is RolloutMode.SURGE:
        sentence = (
            f"The new replica finds no free {accelerator.resource} beside the older ones: if that stays so, they are "
            "replaced one by one."
        )
        return Finding(Reason.SCALING, sentence, Outlook.PROGRESS)
    return None


def check_reported_failure(pod: PodState, situation: Situation) -> Finding | None:
    """A container gave up and said why."""
    for container in pod.containers:
        end = container.failure
        failure = read_failure(end) if end else None
        if failure is None:
            continue
        fetching = container.name == FETCH_CONTAINER
        fact, step = failure.message.strip().rstrip("."), failure.next.strip()
        step = _find_roomier(failure.code, situation.resource) or step
        return Finding(
            _find_reason(failure.code, fetching=fetching),
            f"{quote_words(fact, 600)} ({failure.code}). {step[:1].upper()}{step[1:]}",
            Outlook.FAULT if failure.code in _PASSING else Outlook.STALLED,
        )
    return None


def check_symptom(pod: PodState, situation: Situation) -> Finding | None:
    """An engine ended in a way that is known, by what it wrote last."""
    end = pod.server and pod.server.failure
    if not end:
        return None
    for symptom in find_engine(situation.resource).symptoms:
        found = symptom.words.search(end.message)
        if found:
            words = {name: quote_words(value, 200) for name, value in found.groupdict().items() if value}
            return Finding(
                symptom.reason,
                f"{symptom.fact.format(**words)}: {symptom.step.format(**words)}.",
                Outlook.STALLED,
            )
    return None


def check_node(pod: PodState, _: Situation) -> Finding | None:
    """The pod's node is lost: the kubelet said last that it is ready, and the node controller says that it is not."""
    told = pod.conditions.get("ContainersReady")
    ready = pod.conditions.get("Ready")
    if not (pod.node and told and ready and told.status == "True" and ready.status != "True"):
        return None
    return Finding(
        Reason.NODE_LOST,
        f"The node {pod.node} of the replica {pod.name} does not report: the replica is replaced 5 minutes after that. "
        f"See kubectl describe node {pod.node}.",
        Outlook.FAULT,
    )


def check_out_of_memory(pod: PodState, situation: Situation) -> Finding | None:
    """The kernel killed a container at its memory limit."""
    spec = situation.resource.spec
    for container in pod.containers:
        end = container.failure
        if end is None or not (end.reason == "OOMKilled" or _is_kill(end, situation)):
            continue
        limit = build_resources(spec.resources, situation.defaults, downloads=False, accelerator=None)["limits"]
        return Finding(
            Reason.OUT_OF_MEMORY,
            f"The {_describe(container)} was killed at its memory limit of {limit['memory']}: "
            "raise spec.resources.limits.memory and spec.resources.requests.memory"
            + (", or lower spec.limits.maxBatchTokens." if container.name != FETCH_CONTAINER else "."),
            Outlook.STALLED,
        )
    return None


def check_start_timeout(pod: PodState, situation: Situation) -> Finding | None:
    """The server did not answer within the start-up time, so the kubelet ended it."""
    end = pod.server and pod.server.end
    timeout = situation.resource.spec.rollout.startup_timeout_seconds
    if not end or not _outlived_startup(end, timeout):
        return None
    path = find_probes(situation.resource).startup
    return Finding(
        Reason.PROBE_FAILING,
        f"The server did not answer {path} within {timeout} s and was restarted{_tell_progress(pod)}: raise "
        f"spec.rollout.startupTimeoutSeconds, or see what it does with kubectl logs {pod.name} -c server.",
        Outlook.FAULT,
    )


def check_crash(pod: PodState, _: Situation) -> Finding | None:
    """A container keeps ending without saying why."""
    for container in pod.containers:
        end = container.failure
        if end is None and container.name != FETCH_CONTAINER:
            end = container.end
        if end is None:
            continue
        lines = [line for line in end.message.splitlines() if line.strip()]
        words = f" ({quote_words(lines[-1])})" if lines else ""
        return Finding(
            Reason.CRASH_LOOP,
            f"The {_describe(container)} ended with exit code {end.exit_code}{words}: "
            f"see kubectl logs {pod.name} -c {container.name} --previous.",
            Outlook.FAULT,
        )
    return None


def check_silence(pod: PodState, situation: Situation) -> Finding | None:
    """A server that had started does not answer its readiness probe any more."""
    server, ready = pod.server, pod.conditions.get("Ready")
    if server is None or not server.started or server.running_since is None or ready is None or ready.since is None:
        return None
    if ready.since <= server.running_since:
        # Its start-up probe has just succeeded, however long that took; the readiness probe comes next.
        return Finding(Reason.STARTING, f"The replica {pod.name} has started and is not ready yet.", Outlook.PROGRESS)
    path = find_probes(situation.resource).readiness
    silent = (situation.now - ready.since).total_seconds()
    if silent < SILENCE_SECONDS:
        return Finding(
            Reason.STARTING,
            f"The replica {pod.name} is not ready at the moment.",
            Outlook.PROGRESS,
            recheck_seconds=SILENCE_SECONDS - silent + 1,
        )
    return Finding(
        Reason.PROBE_FAILING,
        f"The replica {pod.name} runs but does not answer {path}: see kubectl logs {pod.name} -c server.",
        Outlook.FAULT,
    )


CHECKS: tuple[Check, ...] = (
    check_node,
    check_image,
    check_secret,
    check_reported_failure,
    check_symptom,
    check_out_of_memory,
    check_start_timeout,
    check_crash,
    check_volume,
    check_gated,
    check_unschedulable,
    check_silence,
)


def _describe(container: ContainerState) -> str:
    return "download" if container.name == FETCH_CONTAINER else "server"


def _find_reason(code: str, *, fetching: bool) -> Reason:
    """Each known code is a reason of its own; others come from an image that is newer than this operator."""
    if code in set(FailureCode):
        return Reason(code)
    return Reason.FETCH_FAILED if fetching else Reason.START_FAILED


def _find_roomier(code: str, resource: Resource) -> str:
    """What gives a download more room when it is kept on a claim; the download itself knows only a folder."""
    cache = resource.spec.model.cache
    if code != FailureCode.DISK_FULL or cache is None:
        return ""
    if cache.claim:
        return f"Free room on the claim {cache.claim}, let it grow, or name a larger one in spec.model.cache.claim."
    return "Raise spec.model.cache.size."


def _tell_progress(pod: PodState) -> str:
    return f" (it was at {describe_progress(pod.report)})" if pod.report else ""


def _outlived_startup(end: Termination, timeout: int) -> bool:
    if end.started_at is None or end.finished_at is None:
        return False
    return (end.finished_at - end.started_at).total_seconds() >= timeout - STARTUP_PERIOD_SECONDS


def _is_kill(end: Termination, situation: Situation) -> bool:
    """Exit by SIGKILL means the kernel, unless the kubelet did it for not answering in time.

    containerd 1.6 loses the reason OOMKilled now and then, so the exit code has to do.
    """
    timeout = situation.resource.spec.rollout.startup_timeout_seconds
    return end.exit_code == KILLED and not _outlived_startup(end, timeout)


def _find_use(text: str, resource: Resource) -> str:
    """Which field of the spec named the Secret; the volume's name tells, or else the Secret's."""
    token = resource.spec.model.token_secret
    if token and ("hub-token" in text or f'"{token.name}"' in text) and "api-key" not in text:
        return "spec.model.tokenSecret"
    return "spec.access.apiKeySecret"


def _find_secret(text: str, resource: Resource) -> str:
    """The name of the Secret that the message is about; the kubelet leaves it out when only a key is missing."""
    access, token = resource.spec.access, resource.spec.model.token_secret
    if _find_use(text, resource) == "spec.model.tokenSecret" and token:
        return token.name
    return access.api_key_secret.name if access and access.api_key_secret else ""
