"""Why an LLMInference is in the state it is in: ordered checks, the first that finds something wins."""

from collections.abc import Callable

from llmi_api.v1alpha1 import Reason, ServiceType
from llmi_operator.observed import Observed, Refusal
from llmi_operator.plan.model import describe_source
from llmi_operator.status.finding import Finding, Outlook, quote_words
from llmi_operator.status.pods import Situation, find_pod_fault

METRICS_GRACE_SECONDS = 120
"""A new autoscaler is blind until the first metrics arrive."""
FORBIDDEN = 403

Rule = Callable[[Observed, Situation], Finding | None]


def compute_finding(observed: Observed, situation: Situation) -> Finding:
    """Say why the resource is in its state, and what to do next."""
    for rule in RULES:
        finding = rule(observed, situation)
        if finding is not None:
            return finding
    return Finding(Reason.STARTING, "The replicas are being started.", Outlook.PROGRESS)


def rule_deleting(observed: Observed, _: Situation) -> Finding | None:
    """The resource is going away."""
    return Finding(Reason.DELETING, "It is being deleted.", Outlook.PROGRESS) if observed.deleting else None


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
            return Finding(
                Reason.FORBIDDEN,
                f"The operator may not {item.verb} {item.kind} {item.name}: grant it that in its Role "
                f"({quote_words(item.message, 400)}).",
                Outlook.STALLED,
            )
        return Finding(
            Reason.REFUSED,
            f"The API server refuses the {item.kind} {item.name}: {quote_words(item.message, 600)}. "
            "Correct the spec, or ask who set this rule.",
            Outlook.STALLED,
        )
    return None


def rule_scaled_to_zero(observed: Observed, situation: Situation) -> Finding | None:
    """Nothing was asked to run."""
    if situation.resource.spec.replicas != 0:
        return None
    if observed.deployment is not None and observed.deployment.total > 0:
        return Finding(Reason.SCALING, "The last replicas are being stopped.", Outlook.PROGRESS)
    return Finding(
        Reason.SCALED_TO_ZERO, "Nothing answers, as asked for: set spec.replicas to 1 or more to serve.", Outlook.FINE
    )


def rule_serving(observed: Observed, situation: Situation) -> Finding | None:
    """All replicas of this generation answer."""
    if observed.deployment is None or not observed.deployment.complete or observed.deployment.wanted == 0:
        return None
    return _find_notice(observed, situation) or Finding(Reason.SERVING, "", Outlook.FINE)


def rule_pods(observed: Observed, situation: Situation) -> Finding | None:
    """A pod of the newest version cannot do its work."""
    return find_pod_fault(observed.newest_pods, situation)


def rule_pods_not_made(observed: Observed, _: Situation) -> Finding | None:
    """The API server refuses pods: a quota, a limit range, or a policy."""
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


def rule_stuck(observed: Observed, _: Situation) -> Finding | None:
    """The progress deadline passed without a cause that an earlier rule knows."""
    progress = observed.deployment and observed.deployment.conditions.get("Progressing")
    if not progress or progress.reason != "ProgressDeadlineExceeded":
        return None
    return Finding(
        Reason.ROLLOUT_STUCK,
        "The new replicas did not become ready in time: see kubectl describe pods, "
        "or raise spec.rollout.startupTimeoutSeconds.",
        Outlook.STALLED,
    )


def rule_downloading(observed: Observed, situation: Situation) -> Finding | None:
    """The model's files are being fetched."""
    if not any(pod.fetch and pod.fetch.running_since for pod in observed.newest_pods):
        return None
    return Finding(
        Reason.DOWNLOADING, f"Downloading {describe_source(situation.resource.spec.model)}.", Outlook.PROGRESS
    )


def rule_loading(observed: Observed, situation: Situation) -> Finding | None:
    """The server runs and loads the model."""
    for pod in observed.newest_pods:
        if pod.server and pod.server.running_since and not pod.server.started and not pod.ready:
            model = describe_source(situation.resource.spec.model)
            return Finding(Reason.LOADING, f"The server is loading {model}.", Outlook.PROGRESS)
    return None


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
    rule_scaled_to_zero,
    rule_serving,
    rule_pods,
    rule_pods_not_made,
    rule_evicted,
    rule_stuck,
    rule_downloading,
    rule_loading,
    rule_scaling,
)


def _find_notice(observed: Observed, situation: Situation) -> Finding | None:
    """What its owner should know although every replica answers."""
    waits = situation.resource.spec.service.type is ServiceType.LOAD_BALANCER
    if waits and observed.service and not observed.service.addresses:
        return Finding(
            Reason.ADDRESS_PENDING,
            "Waiting for a load balancer address; inside the cluster the URL answers: "
            "without a load balancer here, use spec.service.type NodePort or ClusterIP.",
            Outlook.FINE,
        )
    active = observed.autoscaler and observed.autoscaler.conditions.get("ScalingActive")
    if not active or active.status != "False" or "Metric" not in active.reason or active.since is None:
        return None
    blind = (observed.now - active.since).total_seconds()
    if blind < METRICS_GRACE_SECONDS:
        return Finding(Reason.SERVING, "", Outlook.FINE, recheck_seconds=METRICS_GRACE_SECONDS - blind + 1)
    return Finding(
        Reason.AUTOSCALER_BLIND,
        f"The autoscaler gets no metrics, so the number of replicas stays ({quote_words(active.message)}): "
        "install metrics-server, or set spec.replicas in place of spec.autoscaling.",
        Outlook.FAULT,
    )


def _is_policy(item: Refusal) -> bool:
    """A 403 is a missing permission or an admission policy; only the first has this wording."""
    return "cannot " not in item.message
