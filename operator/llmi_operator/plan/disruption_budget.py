"""The PodDisruptionBudget: draining nodes takes one replica at a time."""

from typing import Any

from llmi_api.v1alpha1 import LLMInferenceSpec
from llmi_operator.parse import Resource
from llmi_operator.plan.cache import needs_one_node
from llmi_operator.plan.names import make_metadata, make_selector


def wants_disruption_budget(spec: LLMInferenceSpec, replicas: int | None) -> bool:
    """Whether there are always two replicas or more, of which one can be spared.

    Replicas that must share a node are drained together: a budget would hold up the drain for ever.

    Args:
        spec: What the user wrote.
        replicas: How many there are where no autoscaler decides.
    """
    least = spec.autoscaling.min_replicas if spec.autoscaling else replicas
    return least is not None and least > 1 and not needs_one_node(spec.model)


def build_disruption_budget(resource: Resource) -> dict[str, Any]:
    """Build the budget. A replica that does not answer anyway never holds up a drain."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": make_metadata(resource),
        "spec": {
            "selector": {"matchLabels": make_selector(resource)},
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
