"""What is to be said of an autoscaler that is not told the numbers it goes by, or that another one is in the way of."""

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_api.v1alpha1 import Reason
from llmi_operator.observed import ConditionState, Observed
from llmi_operator.status.finding import Finding, Outlook, quote_words
from llmi_operator.status.metric_sources import advise_on_in_flight, advise_on_keda, advise_on_resources
from llmi_operator.status.pods import Situation

METRICS_GRACE_SECONDS = 120
"""A new autoscaler is blind until the first metrics arrive."""
PODS_METRIC_FAILED = "FailedGetPodsMetric"
EXTERNAL_METRIC_FAILED = "FailedGetExternalMetric"
SELECTOR_AMBIGUOUS = "AmbiguousSelector"


def find_blindness(observed: Observed, situation: Situation) -> Finding | None:
    """The autoscaler has no metrics at all, or none of requests in flight; or KEDA has made none."""
    if observed.scaled_object is not None and observed.autoscaler is None:
        return _find_idle_keda(observed.scaled_object, observed, situation)
    active = observed.autoscaler and observed.autoscaler.conditions.get("ScalingActive")
    if not active or active.since is None:
        return None
    if active.status != "False":
        return _find_deaf_queue(observed, situation)
    if "Metric" not in active.reason and active.reason != SELECTOR_AMBIGUOUS:
        return None
    blind = (observed.now - active.since).total_seconds()
    if blind < METRICS_GRACE_SECONDS:
        return Finding(Reason.SERVING, "", Outlook.FINE, recheck_seconds=METRICS_GRACE_SECONDS - blind + 1)
    rival = active.reason == SELECTOR_AMBIGUOUS
    return _describe_rival(active.message) if rival else _describe_want_of_metrics(active, observed, situation)


def _describe_want_of_metrics(active: ConditionState, observed: Observed, situation: Situation) -> Finding:
    if active.reason == EXTERNAL_METRIC_FAILED:
        advice = advise_on_keda(situation.resource.name, observed.metric_sources)
    elif active.reason == PODS_METRIC_FAILED:
        advice = advise_on_in_flight(observed.metric_sources)
    else:
        advice = advise_on_resources(observed.metric_sources)
    return Finding(
        Reason.AUTOSCALER_BLIND,
        f"The autoscaler gets no metrics, so the number of replicas stays ({quote_words(active.message)}): "
        f"{advice}, or set spec.replicas in place of spec.autoscaling.",
        Outlook.FAULT,
    )


def _describe_rival(message: str) -> Finding:
    """Where two autoscalers choose the same pods, Kubernetes lets neither scale."""
    return Finding(
        Reason.AUTOSCALER_BLIND,
        f"Another autoscaler is at the same replicas, so neither scales them ({quote_words(message)}): delete that one "
        "(kubectl get hpa), or set spec.replicas in place of spec.autoscaling.",
        Outlook.FAULT,
    )


def _find_idle_keda(state: ConditionState, observed: Observed, situation: Situation) -> Finding | None:
    """KEDA makes an autoscaler of a ScaledObject within seconds, if its operator runs and takes it."""
    if state.since is None:
        return None
    idle = (observed.now - state.since).total_seconds()
    if idle < METRICS_GRACE_SECONDS:
        return Finding(Reason.SERVING, "", Outlook.FINE, recheck_seconds=METRICS_GRACE_SECONDS - idle + 1)
    words = quote_words(state.message) if state.status == "False" else "it has not looked at it"
    name = situation.resource.name
    return Finding(
        Reason.AUTOSCALER_BLIND,
        f"KEDA has made no autoscaler of the ScaledObject {name}, so the number of replicas stays ({words}): see that "
        f"KEDA's operator runs, and kubectl describe scaledobject {name}; or set spec.autoscaling.backend to hpa.",
        Outlook.FAULT,
    )


def _find_deaf_queue(observed: Observed, situation: Situation) -> Finding | None:
    """The autoscaler works by other targets, and is told nothing of the requests in flight."""
    autoscaling, autoscaler = situation.resource.spec.autoscaling, observed.autoscaler
    if autoscaling is None or autoscaling.targets.in_flight_per_replica is None:
        return None
    if autoscaler is None or not autoscaler.readings:
        return None
    if any(reading.metric == IN_FLIGHT_METRIC for reading in autoscaler.readings):
        return None
    name, sources = situation.resource.name, observed.metric_sources
    advice = advise_on_keda(name, sources) if autoscaling.uses_keda else advise_on_in_flight(sources)
    return Finding(
        Reason.AUTOSCALER_BLIND,
        "The autoscaler is told nothing of requests in flight and goes by its other targets: "
        f"{advice}, or remove spec.autoscaling.targets.inFlightPerReplica.",
        Outlook.FAULT,
    )
