"""The HorizontalPodAutoscaler, and who decides how many replicas run."""

from typing import Any

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_api.v1alpha1.scaling import Autoscaling
from llmi_operator.parse import Resource
from llmi_operator.plan.names import SERVER_CONTAINER, make_metadata

SCALE_UP_PERIOD_SECONDS = 15
SCALE_DOWN_PERIOD_SECONDS = 60


def build_autoscaler(resource: Resource, autoscaling: Autoscaling) -> dict[str, Any]:
    """Build the autoscaler."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": make_metadata(resource),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": resource.name},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": _build_metrics(autoscaling),
            "behavior": build_behavior(autoscaling),
        },
    }


def build_behavior(autoscaling: Autoscaling) -> dict[str, Any]:
    """Build how fast it goes: up at once, down one replica a minute after the load stayed low."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": SCALE_UP_PERIOD_SECONDS},
                {"type": "Pods", "value": 2, "periodSeconds": SCALE_UP_PERIOD_SECONDS},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": autoscaling.scale_down_delay_seconds,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": SCALE_DOWN_PERIOD_SECONDS}],
        },
    }


def _build_metrics(autoscaling: Autoscaling) -> list[dict[str, Any]]:
    targets = (("cpu", autoscaling.targets.cpu_percent), ("memory", autoscaling.targets.memory_percent))
    metrics: list[dict[str, Any]] = [
        {
            "type": "ContainerResource",
            "containerResource": {
                "container": SERVER_CONTAINER,
                "name": name,
                "target": {"type": "Utilization", "averageUtilization": percent},
            },
        }
        for name, percent in targets
        if percent is not None
    ]
    in_flight = autoscaling.targets.in_flight_per_replica
    if in_flight is not None:
        target = {"type": "AverageValue", "averageValue": str(in_flight)}
        metrics.append({"type": "Pods", "pods": {"metric": {"name": IN_FLIGHT_METRIC}, "target": target}})
    return metrics
