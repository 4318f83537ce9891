"""The Deployment of model servers."""

from typing import Any

from llmi_operator.parse import Resource
from llmi_operator.plan import timing
from llmi_operator.plan.names import make_metadata, make_selector
from llmi_operator.plan.pod import build_pod_template
from llmi_operator.settings import ServerDefaults

KEPT_REVISIONS = 3


def build_deployment(resource: Resource, defaults: ServerDefaults) -> dict[str, Any]:
    """Build the Deployment without ``replicas``: see `plan.replicas` for who owns that field when."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": make_metadata(resource),
        "spec": {
            "selector": {"matchLabels": make_selector(resource)},
            "revisionHistoryLimit": KEPT_REVISIONS,
            "progressDeadlineSeconds": timing.compute_progress_deadline_seconds(
                resource.spec.rollout.startup_timeout_seconds
            ),
            # A new replica answers before an old one goes: no request finds nobody.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": build_pod_template(resource, defaults),
        },
    }
