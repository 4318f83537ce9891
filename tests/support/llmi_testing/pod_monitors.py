"""The type PodMonitor, as far as the operator uses it: a stand-in for the Prometheus operator's."""

from typing import Any


def make_pod_monitor_type() -> dict[str, Any]:
    """A CustomResourceDefinition that refuses unknown fields, with the fields of the real one that are used."""
    text = {"type": "string"}
    endpoint = {"type": "object", "properties": {"port": text, "path": text}}
    spec = {
        "type": "object",
        "required": ["selector", "podMetricsEndpoints"],
        "properties": {
            "selector": {
                "type": "object",
                "properties": {"matchLabels": {"type": "object", "additionalProperties": text}},
            },
            "podMetricsEndpoints": {"type": "array", "items": endpoint},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {"spec": spec}}},
    }
    names = {"kind": "PodMonitor", "listKind": "PodMonitorList", "plural": "podmonitors", "singular": "podmonitor"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {"group": "monitoring.coreos.com", "names": names, "scope": "Namespaced", "versions": [version]},
    }
