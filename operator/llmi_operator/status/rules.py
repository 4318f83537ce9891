"""Why an LLMInference is in the state it is in: ordered checks, the first that finds something wins."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from llmi_api import labels
from llmi_api.readiness import Stage
from llmi_api.v1alpha1 import Reason, ServiceType
from llmi_api.v1alpha1.scaling import WakeUp
from llmi_operator.observed import Observed, PodState, Refusal
from llmi_operator.plan.model import describe_source
from llmi_operator.status.attention import is_waiting
from llmi_operator.status.blindness import find_blindness
from llmi_operator.status.budget import find_budget_notice
from llmi_operator.status.finding import Finding, Outlook, quote_words
from llmi_operator.status.fitting import find_devices, refuse_weights, warn_of_memory
from llmi_operator.status.images import find_pull
from llmi_operator.status.pods import Situation, find_pod_fault
from llmi_operator.status.progress import describe_amount, describe_progress, describe_rate
from llmi_operator.status.reports import read_fetch

FORBIDDEN = 403
BREAKDOWN = 500
PROGRESS_RECHECK_SECONDS = 5
"""How often a replica that fetches or loads is asked how far it is, and the status written at most."""
WAITING_RECHECK_SECONDS = 6
HELD_RECHECK_SECONDS = 60
"""Nothing tells us of a new node."""
SHORT_COMMIT = 12
_API_FIELDS = {
    "PodMonitor": "set spec.observability.metrics.podMonitor to false",
    "ScaledObject": "set spec.autoscaling.backend to hpa and minReplicas to 1 or more",
}
_API_BRINGERS = {"ScaledObject": "KEDA"}

_RUNTIME_CLASS = re.compile(r"RuntimeClass \"([^\"]+)\" not found")

Rule = Callable[[Observed, Situation], Finding | None]


def compute_finding(observed: Observed, situation: Situation) -> Finding:
    """Say why the resource is in its state, and what to do next."""
    for rule in RULES:
        finding = rule(observed, situation)
        if finding is not None:
            return finding
    # Nothing tells of a pull that begins, so a replica that waits for its first container is looked at again.
    waits = any(is_waiting(pod) for pod in observed.newest_pods)
    again = WAITING_RECHECK_SECONDS if waits else None
    return Finding(Reason.STARTING, "The replicas are being started.", Outlook.PROGRESS, recheck_seconds=again)


def rule_deleting(observed: Observed, _: Situation) -> Finding | None:
    """The resource is going away."""
    if not observed.deleting:
        return None
    others = [name for name in observed.finalizers if name not in {"foregroundDeletion", "orphan"}]
    if others:
        sentence = f"It is being deleted, and waits for the finalizer {others[0]}: whoever set that must take it away."
        return Finding(Reason.DELETING, sentence, Outlook.PROGRESS)
    return Finding(Reason.DELETING, "It is being deleted, after what belongs to it.", Outlook.PROGRESS)


def rule_foreign(observed: Observed, _: Situation) -> Finding | None:
    """Somebody else's object has the name of a child."""
    for item in observed.refusals:
        if item.foreign:
            owner = f" (it belongs to {item.message})" if item.message else ""
            return Finding(
                Reason.NAME_TAKEN,
                f"There already is a {item.kind} {item.name} that is not ours{owner}, so it is left alone: "
                "delete or rename it, or give this LLMInference another name.",
                Outlook.STALLED,
            )
    return None


def rule_refused(observed: Observed, _: Situation) -> Finding | None:
    """The API server refuses a child."""
    for item in observed.refusals:
        if item.missing_api:
            continue
        if item.status == FORBIDDEN and not _is_policy(item):
            what = f"{item.kind} {item.name}" if item.name else f"{item.kind}s"
            return Finding(
                Reason.FORBIDDEN,
                f"The operator may not {item.verb} {what}: grant it that in its Role "
                f"({quote_words(item.message, 400)}).",
                Outlook.STALLED,
            )
        if item.status == BREAKDOWN:
            return Finding(
                Reason.API_FAILING,
                f"The API server fails to {item.verb} the {item.kind} {item.name}: {quote_words(item.message, 600)}. "
                "It is tried again; see to the webhook that is named, or to the API server.",
                Outlook.FAULT,
            )
        return Finding(
            Reason.REFUSED,
            f"The API server refuses the {item.kind} {item.name}: {quote_words(item.message, 600)}. "
            "Correct the spec, or ask who set this rule.",
            Outlook.STALLED,
        )
    return None


def rule_no_device_claims(observed: Observed, _: Situation) -> Finding | None:
    """No replica is made where devices cannot be claimed: without them it could not compute."""
    if not any(item.missing_api and item.kind == "ResourceClaimTemplate" for item in observed.refusals):
        return None
    return Finding(
        Reason.API_MISSING,
        "This cluster has no ResourceClaimTemplate (resource.k8s.io/v1), so no replica is made or changed: use "
        "Kubernetes 1.34 or newer, or set spec.accelerator.resource and count in place of spec.accelerator.dra.",
        Outlook.FAULT,
    )


def rule_held(observed: Observed, _: Situation) -> Finding | None:
    """A new version is not begun, because its weights are more than its accelerators have."""
    if not observed.held:
        return None
    return Finding(Reason.OUT_OF_MEMORY, observed.held, Outlook.STALLED, recheck_seconds=HELD_RECHECK_SECONDS)


def rule_scaled_to_zero(observed: Observed, situation: Situation) -> Finding | None:
    """Nothing was asked to run."""
    autoscaling, deployment = situation.resource.spec.autoscaling, observed.deployment
    to_zero = autoscaling is not None and autoscaling.min_replicas == 0
    asleep = to_zero and deployment is not None and deployment.wanted == 0
    if situation.resource.spec.replicas != 0 and not asleep:
        return None
    if deployment is not None and deployment.total > 0:
        return Finding(Reason.SCALING, "The last replicas are being stopped.", Outlook.PROGRESS)
    if autoscaling is not None and autoscaling.wake_up is not None:
        return _find_missing_api(observed, situation) or _describe_sleep(autoscaling.wake_up)
    return Finding(
        Reason.SCALED_TO_ZERO, "Nothing answers, as asked for: set spec.replicas to 1 or more to serve.", Outlook.FINE
    )


def rule_serving(observed: Observed, situation: Situation) -> Finding | None:
    """All replicas of this generation answer."""
    if observed.deployment is None or not observed.deployment.complete or observed.deployment.wanted == 0:
        return None
    if situation.resource.spec.paused:
        return None
    return _find_notice(observed, situation) or Finding(Reason.SERVING, "", Outlook.FINE)


def rule_pods(observed: Observed, situation: Situation) -> Finding | None:
    """A pod of the newest version cannot do its work."""
    newest = observed.newest_pods
    seen = replace(
        situation,
        capacity=observed.capacity,
        capacity_denied=observed.capacity_denied,
        leaving=any(pod.deleting for pod in observed.pods),
        older=any(pod.ready and pod not in newest for pod in observed.pods),
    )
    return find_pod_fault(newest, seen)


def rule_pods_not_made(observed: Observed, situation: Situation) -> Finding | None:
    """The API server refuses pods: a quota, a limit range, Pod Security, or another policy."""
    failure = observed.deployment and observed.deployment.conditions.get("ReplicaFailure")
    if not failure or failure.status != "True":
        return None
    text = quote_words(failure.message, 500)
    if "exceeded quota" in text:
        quota = text.split("exceeded quota:", 1)[1].strip()
        return Finding(
            Reason.QUOTA_EXCEEDED,
            f"No more pods fit the namespace's ResourceQuota ({quota}): lower spec.resources or spec.replicas, "
            "or have the quota raised.",
            Outlook.FAULT,
        )
    if "violates PodSecurity" in text:
        return Finding(
            Reason.POD_SECURITY_REFUSED,
            f"Pod Security of the namespace refuses the pods: {text[text.index('violates PodSecurity') :]}. Look for a "
            f"webhook that changes pods, or for an edit of the Deployment {situation.resource.name}.",
            Outlook.FAULT,
        )
    runtime_class = _RUNTIME_CLASS.search(text)
    if runtime_class:
        return Finding(
            Reason.REFUSED,
            f"There is no RuntimeClass {runtime_class[1]}: correct spec.scheduling.runtimeClassName, or have the class "
            "made.",
            Outlook.FAULT,
        )
    if any(f" usage per {kind}" in text or f" ratio per {kind}" in text for kind in ("Container", "Pod")):
        return Finding(
            Reason.LIMIT_RANGE_EXCEEDED,
            f"The namespace's LimitRange refuses the pods: {text.rsplit('forbidden: ', 1)[-1].strip('[]')}. Set "
            "spec.resources within it, or have the LimitRange changed.",
            Outlook.FAULT,
        )
    return Finding(
        Reason.REFUSED,
        f"The API server refuses new pods: {text}. Correct the spec, or ask who set this rule.",
        Outlook.FAULT,
    )


def rule_evicted(observed: Observed, _: Situation) -> Finding | None:
    """The node threw the newest pods out, and none has come up since."""
    evicted = [pod for pod in observed.pods if pod.phase == "Failed" and pod.reason == "Evicted" and pod.created_at]
    if not evicted:
        return None
    last = max(evicted, key=lambda pod: str(pod.created_at))
    if any(pod.ready and pod.revision == last.revision for pod in observed.pods):
        return None
    if not any(pod.revision == last.revision for pod in observed.newest_pods):
        return None
    return Finding(
        Reason.EVICTED,
        f"A node threw a replica out: {quote_words(last.message)}. Raise spec.resources.requests, "
        "so that it goes where there is room.",
        Outlook.FAULT,
    )


def rule_stuck(observed: Observed, situation: Situation) -> Finding | None:
    """The progress deadline passed without a cause that an earlier rule knows."""
    progress = observed.deployment and observed.deployment.conditions.get("Progressing")
    if not progress or progress.reason != "ProgressDeadlineExceeded":
        return None
    return Finding(
        Reason.ROLLOUT_STUCK,
        "The new replicas did not become ready in time: see kubectl describe pods -l "
        f"{labels.OWNER_LABEL}={situation.resource.name}, or raise spec.rollout.startupTimeoutSeconds.",
        Outlook.STALLED,
    )


def rule_paused(_: Observed, situation: Situation) -> Finding | None:
    """Its owner wants nothing changed for now."""
    if not situation.resource.spec.paused:
        return None
    return Finding(Reason.PAUSED, "Paused, as asked for: edits wait until spec.paused is false.", Outlook.FINE)


def rule_pulling(observed: Observed, situation: Situation) -> Finding | None:
    """A node is getting an image."""
    return next(filter(None, (find_pull(pod, situation.now) for pod in observed.newest_pods)), None)


def rule_downloading(observed: Observed, situation: Situation) -> Finding | None:
    """The model's files are being fetched."""
    fetching = [pod for pod in observed.newest_pods if pod.fetch and pod.fetch.running_since]
    if not fetching:
        return None
    model = describe_source(situation.resource.spec.model)
    pod = next((pod for pod in fetching if pod.report and pod.report.stage is Stage.FETCHING), fetching[0])
    report = pod.report if pod.report and pod.report.stage is Stage.FETCHING else None
    devices = find_devices(situation.resource, pod, observed.nodes)
    hopeless = refuse_weights(situation.resource, report.weights_by_precision if report else {}, devices)
    if hopeless:
        return Finding(Reason.OUT_OF_MEMORY, hopeless, Outlook.STALLED, recheck_seconds=PROGRESS_RECHECK_SECONDS)
    words = describe_amount(report) if report else ""
    if report and words and report.bytes_per_second:
        words += f" at {describe_rate(report.bytes_per_second)}"
    warning = warn_of_memory(report, situation.resource, situation.defaults, devices) if report else ""
    return Finding(
        Reason.DOWNLOADING,
        f"Downloading {model}{f': {words}' if words else ''}. {warning}".rstrip(),
        Outlook.PROGRESS,
        recheck_seconds=PROGRESS_RECHECK_SECONDS,
    )


def rule_loading(observed: Observed, situation: Situation) -> Finding | None:
    """The server runs and loads the model."""
    loading = [
        pod
        for pod in observed.newest_pods
        if pod.server and pod.server.running_since and not pod.server.started and not pod.ready
    ]
    if not loading:
        return None
    model = describe_source(situation.resource.spec.model)
    report = next((pod.report for pod in loading if pod.report and pod.report.stage is Stage.LOADING), None)
    words = f": {describe_progress(report)}" if report else ""
    return Finding(
        Reason.LOADING,
        f"The server is loading {model}{words}.",
        Outlook.PROGRESS,
        recheck_seconds=PROGRESS_RECHECK_SECONDS,
    )


def rule_scaling(observed: Observed, _: Situation) -> Finding | None:
    """Replicas are being added or removed, or old ones replaced."""
    deployment = observed.deployment
    if deployment is None or not deployment.ready:
        return None
    if deployment.updated >= deployment.wanted and deployment.ready >= deployment.wanted:
        return Finding(Reason.SCALING, "Replicas that are no longer needed are being stopped.", Outlook.PROGRESS)
    return Finding(
        Reason.SCALING,
        f"{deployment.ready} of {deployment.wanted} replicas answer, more are starting.",
        Outlook.PROGRESS,
    )


RULES: tuple[Rule, ...] = (
    rule_deleting,
    rule_foreign,
    rule_refused,
    rule_no_device_claims,
    rule_held,
    rule_scaled_to_zero,
    rule_serving,
    rule_pods,
    rule_pods_not_made,
    rule_evicted,
    rule_stuck,
    rule_paused,
    rule_pulling,
    rule_downloading,
    rule_loading,
    rule_scaling,
)


def _find_notice(observed: Observed, situation: Situation) -> Finding | None:
    """What its owner should know although every replica answers."""
    finders = (_find_missing_api, _find_stray_revision, _find_pending_address, find_blindness, find_budget_notice)
    return next(filter(None, (find(observed, situation) for find in finders)), None)


def _describe_sleep(wake_up: WakeUp) -> Finding:
    """KEDA has taken the last replica away, as it was told to."""
    cause = "the query of spec.autoscaling.wakeUp.prometheus gives more than 0"
    if wake_up.http_add_on is not None:
        cause = f"a request comes by the InterceptorRoute {wake_up.http_add_on.interceptor_route}"
    sentence = f"No replica runs, because nothing asks for one: KEDA starts one when {cause}."
    return Finding(Reason.SCALED_TO_ZERO, sentence, Outlook.FINE)


def _find_missing_api(observed: Observed, _: Situation) -> Finding | None:
    for item in observed.refusals:
        if item.missing_api:
            step = _API_FIELDS.get(item.kind, "take away the field that asks for it")
            bringer = _API_BRINGERS.get(item.kind, "what brings it")
            return Finding(
                Reason.API_MISSING,
                f"This cluster has no {item.kind}: install {bringer}, or {step}.",
                Outlook.FAULT,
            )
    return None


def _find_stray_revision(observed: Observed, situation: Situation) -> Finding | None:
    """A replica serves another commit than the pinned one, or than most others where none is pinned."""
    serving = [(pod, report.revision) for pod in observed.newest_pods if pod.ready and (report := read_fetch(pod))]
    commits = [commit for _, commit in serving]
    if not commits or (len(set(commits)) == 1 and situation.pin in {None, commits[0]}):
        return None
    pin = situation.pin if situation.pin in commits else Counter(sorted(commits)).most_common(1)[0][0]
    stray: tuple[PodState, str] | None = next((item for item in serving if item[1] != pin), None)
    if stray is None:
        return None
    return Finding(
        Reason.MIXED_REVISIONS,
        f"The replica {stray[0].name} serves commit {stray[1][:SHORT_COMMIT]}, not the pinned {pin[:SHORT_COMMIT]}: "
        "delete that pod, and its successor fetches the pinned one.",
        Outlook.FAULT,
    )


def _find_pending_address(observed: Observed, situation: Situation) -> Finding | None:
    waits = situation.resource.spec.service.type is ServiceType.LOAD_BALANCER
    if not (waits and observed.service and not observed.service.addresses):
        return None
    return Finding(
        Reason.ADDRESS_PENDING,
        "Waiting for a load balancer address; inside the cluster the URL answers: "
        "without a load balancer here, use spec.service.type NodePort or ClusterIP.",
        Outlook.FINE,
    )


def _is_policy(item: Refusal) -> bool:
    """A 403 is a missing permission or an admission policy; only the first has this wording."""
    return "cannot " not in item.message
