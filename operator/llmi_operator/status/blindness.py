"""What is to be said of an autoscaler that is not told the numbers it goes by."""

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_api.v1alpha1 import Reason
from llmi_operator.observed import Observed
from llmi_operator.status.finding import Finding, Outlook, quote_words
from llmi_operator.status.metric_sources import advise_on_in_flight, advise_on_resources
from llmi_operator.status.pods import Situation

METRICS_GRACE_SECONDS = 120
"""A new autoscaler is blind until the first metrics arrive."""
PODS_METRIC_FAILED = "FailedGetPodsMetric"


def find_blindness(observed: Observed, situation: Situation) -> Finding | None:
    """The autoscaler has no metrics at all, or none of requests in flight."""
    active = observed.autoscaler and observed.autoscaler.conditions.get("ScalingActive")
    if not active or active.since is None:
        return None
    if active.status != "False":
        return _find_deaf_queue(observed, situation)
    if "Metric" not in active.reason:
        return None
    blind = (observed.now - active.since).total_seconds()
    if blind < METRICS_GRACE_SECONDS:
        return Finding(Reason.SERVING, "", Outlook.FINE, recheck_seconds=METRICS_GRACE_SECONDS - blind + 1)
    advise = advise_on_in_flight if active.reason == PODS_METRIC_FAILED else advise_on_resources
    return Finding(
        Reason.AUTOSCALER_BLIND,
        f"The autoscaler gets no metrics, so the number of replicas stays ({quote_words(active.message)}): "
        f"{advise(observed.metric_sources)}, or set spec.replicas in place of spec.autoscaling.",
        Outlook.FAULT,
    )


def _find_deaf_queue(observed: Observed, situation: Situation) -> Finding | None:
    """The autoscaler works by other targets, and is told nothing of the requests in flight."""
    autoscaling, autoscaler = situation.resource.spec.autoscaling, observed.autoscaler
    wanted = autoscaling is not None and autoscaling.targets.in_flight_per_replica is not None
    if not wanted or autoscaler is None or not autoscaler.readings:
        return None
    if any(reading.metric == IN_FLIGHT_METRIC for reading in autoscaler.readings):
        return None
    return Finding(
        Reason.AUTOSCALER_BLIND,
        "The autoscaler is told nothing of requests in flight and goes by its other targets: "
        f"{advise_on_in_flight(observed.metric_sources)}, or remove spec.autoscaling.targets.inFlightPerReplica.",
        Outlook.FAULT,
    )
