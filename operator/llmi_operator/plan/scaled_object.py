"""The ScaledObject, by which KEDA makes and feeds an autoscaler of its own, and starts a replica where none runs."""

from collections.abc import Iterator
from typing import Any

from llmi_api.launch import HTTP_PORT
from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_api.v1alpha1.scaling import Autoscaling, WakeUp
from llmi_operator.parse import Resource
from llmi_operator.plan.autoscaler import build_behavior
from llmi_operator.plan.names import METRICS_PATH, SERVER_CONTAINER, make_metadata

POLLING_SECONDS = 15
"""How often KEDA looks whether to start a replica, where none runs."""
NEVER_REACHED = "1000000000"
"""Target of a query that wakes and does nothing else: no number of requests asks for a second replica by it."""

_Trigger = dict[str, Any]


def build_scaled_object(resource: Resource, autoscaling: Autoscaling) -> dict[str, Any]:
    """Build the ScaledObject; the same targets and the same pace as without KEDA."""
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": resource.name},
        "minReplicaCount": autoscaling.min_replicas,
        "maxReplicaCount": autoscaling.max_replicas,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": build_behavior(autoscaling)}},
        "triggers": list(_build_triggers(resource, autoscaling)),
    }
    if autoscaling.min_replicas == 0:
        # KEDA warns of these where there is always a replica. A new one is left to come up, and shows that it works.
        delay = autoscaling.scale_down_delay_seconds
        spec |= {"pollingInterval": POLLING_SECONDS, "cooldownPeriod": delay, "initialCooldownPeriod": delay}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": make_metadata(resource),
        "spec": spec,
    }


def _build_triggers(resource: Resource, autoscaling: Autoscaling) -> Iterator[_Trigger]:
    targets = autoscaling.targets
    for name, percent in (("cpu", targets.cpu_percent), ("memory", targets.memory_percent)):
        if percent is not None:
            metadata = {"value": str(percent), "containerName": SERVER_CONTAINER}
            yield {"name": name, "type": name, "metricType": "Utilization", "metadata": metadata}
    if targets.in_flight_per_replica is not None:
        yield _build_in_flight(resource, targets.in_flight_per_replica)
    if autoscaling.wake_up is not None:
        yield from _build_wake_up(autoscaling.wake_up)


def _build_in_flight(resource: Resource, target: int) -> _Trigger:
    """KEDA asks every ready replica behind the Service itself and adds up, so nothing else need be installed."""
    metadata = {
        # The port is that of the pods: KEDA takes only the name from the Service.
        "url": f"http://{resource.name}.{resource.namespace}.svc:{HTTP_PORT}{METRICS_PATH}",
        "format": "prometheus",
        "valueLocation": IN_FLIGHT_METRIC,
        "aggregateFromKubeServiceEndpoints": "true",
        "aggregationType": "sum",
        "targetValue": str(target),
    }
    return {"name": "in-flight", "type": "metrics-api", "metricType": "AverageValue", "metadata": metadata}


def _build_wake_up(wake_up: WakeUp) -> Iterator[_Trigger]:
    if wake_up.prometheus is not None:
        metadata = {
            "serverAddress": wake_up.prometheus.server_address,
            "query": wake_up.prometheus.query,
            "threshold": NEVER_REACHED,
            "activationThreshold": "0",
        }
        yield {"name": "wake-up", "type": "prometheus", "metricType": "AverageValue", "metadata": metadata}
    if wake_up.http_add_on is not None:
        route = wake_up.http_add_on
        metadata = {"scalerAddress": route.scaler_address, "interceptorRoute": route.interceptor_route}
        yield {"name": "wake-up", "type": "external-push", "metadata": metadata}
