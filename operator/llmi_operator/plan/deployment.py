"""The Deployment of model servers."""

from collections.abc import Mapping
from typing import Any

from llmi_operator.parse import Resource
from llmi_operator.plan import timing
from llmi_operator.plan.names import make_metadata, make_selector
from llmi_operator.plan.placement import make_queue_labels

KEPT_REVISIONS = 3


def build_deployment(resource: Resource, template: Mapping[str, Any], strategy: Mapping[str, Any]) -> dict[str, Any]:
    """Build the Deployment without ``replicas``: see `plan.replicas` for who owns that field when."""
    metadata = make_metadata(resource)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata | {"labels": metadata["labels"] | make_queue_labels(resource)},
        "spec": {
            "selector": {"matchLabels": make_selector(resource)},
            "revisionHistoryLimit": KEPT_REVISIONS,
            "progressDeadlineSeconds": timing.compute_progress_deadline_seconds(
                resource.spec.rollout.startup_timeout_seconds
            ),
            "strategy": strategy,
            "template": template,
        },
    }
