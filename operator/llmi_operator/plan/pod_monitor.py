"""The PodMonitor, by which the Prometheus operator finds the replicas."""

import re
from typing import Any

from llmi_api.labels import OWNER_LABEL, SINGULAR
from llmi_operator.parse import Resource
from llmi_operator.plan.engines import find_metrics_port, find_port
from llmi_operator.plan.names import HTTP_PORT_NAME, METRICS_PATH, METRICS_PORT_NAME, make_metadata, make_selector

# Rules and dashboards (deploy/observability) know a model by this label.
_NAME_OF_RESOURCE = {
    "sourceLabels": [f"__meta_kubernetes_pod_label_{re.sub(r'[./]', '_', OWNER_LABEL)}"],
    "targetLabel": SINGULAR,
    "action": "replace",
}


def build_pod_monitor(resource: Resource) -> dict[str, Any]:
    """Build the PodMonitor; how often it scrapes is Prometheus' own setting."""
    metadata = make_metadata(resource)
    chosen = resource.spec.observability.metrics.labels or {}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        # Ours win: by them the operator finds its objects again.
        "metadata": metadata | {"labels": {**dict(sorted(chosen.items())), **metadata["labels"]}},
        "spec": {
            "selector": {"matchLabels": make_selector(resource)},
            "podMetricsEndpoints": [
                {"port": _choose_port(resource), "path": METRICS_PATH, "relabelings": [_NAME_OF_RESOURCE]}
            ],
        },
    }


def _choose_port(resource: Resource) -> str:
    return HTTP_PORT_NAME if find_metrics_port(resource) == find_port(resource) else METRICS_PORT_NAME
