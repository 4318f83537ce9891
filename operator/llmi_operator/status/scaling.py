"""Why there are as many replicas as there are, in the numbers that the autoscaler decided by."""

import math

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_api.v1alpha1 import LLMInferenceStatus, ScalingStatus
from llmi_api.v1alpha1.scaling import Autoscaling, AutoscalingTargets
from llmi_operator.observed import AutoscalerState, Observed, Reading
from llmi_operator.parse import Resource
from llmi_operator.status.metric_sources import describe_sources

_RESOURCES = {"cpu": "CPU", "memory": "memory"}


def compute_scaling(resource: Resource, observed: Observed, previous: LLMInferenceStatus) -> ScalingStatus | None:
    """Say how many replicas the autoscaler wants and why, as of when it began to want so many, and who measures.

    Loads change all the time; the sentence does not, or the status would be written with each of their changes.
    """
    autoscaling = resource.spec.autoscaling
    if autoscaling is None:
        return None
    decided = _decide(resource, autoscaling, observed, previous)
    if decided is None:
        return None
    return decided.model_copy(update={"source": describe_sources(autoscaling, observed.metric_sources)})


def _decide(
    resource: Resource, autoscaling: Autoscaling, observed: Observed, previous: LLMInferenceStatus
) -> ScalingStatus | None:
    autoscaler, deployment = observed.autoscaler, observed.deployment
    if autoscaling.min_replicas == 0 and deployment is not None and deployment.wanted == 0:
        delay = autoscaling.scale_down_delay_seconds
        return ScalingStatus(desired=0, because=f"0: nothing has asked for a replica for {delay} s")
    before = previous.scaling if previous.observed_generation == resource.generation else None
    if autoscaler is None or not autoscaler.desired:
        return before
    if before is not None and before.desired == autoscaler.desired:
        return before
    because = _explain(autoscaler, autoscaling)
    return ScalingStatus(desired=autoscaler.desired, because=f"{autoscaler.desired}: {because}") if because else before


def _explain(autoscaler: AutoscalerState, autoscaling: Autoscaling) -> str:
    """The metric that asks for most replicas, and what holds the number elsewhere."""
    needs = [
        (math.ceil(autoscaler.current * reading.average / target), _describe(reading, target, autoscaler.current))
        for reading in autoscaler.readings
        if (target := find_target(autoscaling.targets, reading.metric)) is not None
    ]
    if not needs:
        return ""
    need, words = max(needs, key=lambda item: item[0])
    if need > autoscaler.desired and autoscaler.desired == autoscaling.max_replicas:
        return f"{words}; no more than maxReplicas"
    if need >= autoscaler.desired:
        return words
    if autoscaler.desired == autoscaling.min_replicas:
        return f"{words}; no fewer than minReplicas"
    return f"{words}; fewer once that has lasted {autoscaling.scale_down_delay_seconds} s"


def find_target(targets: AutoscalingTargets, metric: str) -> int | None:
    """The average that a metric is steered to; None for a metric that is not asked for."""
    by_metric = {
        "cpu": targets.cpu_percent,
        "memory": targets.memory_percent,
        IN_FLIGHT_METRIC: targets.in_flight_per_replica,
    }
    return by_metric.get(metric)


def _describe(reading: Reading, target: int, replicas: int) -> str:
    if reading.metric in _RESOURCES:
        return f"{_RESOURCES[reading.metric]} at {reading.average:.0f} %, target {target} %"
    return f"{reading.average * replicas:.0f} in flight, target {target} each"
