"""Names and labels of what belongs to an LLMInference."""

from typing import Any

from llmi_api import labels
from llmi_operator.parse import Resource

HTTP_PORT_NAME = "http"
SERVER_CONTAINER = "server"
FETCH_CONTAINER = "fetch"
METRICS_PATH = "/metrics"
METRICS_PORT_NAME = "metrics"
"""Of engines that tell their metrics at another port than they serve at."""
SCRAPE_PORT_ANNOTATION = "prometheus.io/port"
API_KEY_FILE = "api-key"
PLAN_HASH_ANNOTATION = f"{labels.GROUP}/plan-hash"


def make_selector(resource: Resource) -> dict[str, str]:
    """Labels that select the pods; a Deployment's selector can never change, so neither may these."""
    return {labels.OWNER_LABEL: resource.name, labels.COMPONENT_LABEL: labels.COMPONENT}


def make_labels(resource: Resource) -> dict[str, str]:
    """Labels of every child and every pod."""
    return {
        **make_selector(resource),
        labels.NAME_LABEL: labels.SINGULAR,
        labels.INSTANCE_LABEL: resource.name,
        labels.PART_OF_LABEL: labels.SINGULAR,
        labels.MANAGED_BY_LABEL: labels.MANAGED_BY,
    }


def make_cache_name(resource: Resource) -> str:
    """Name of the claim that keeps downloads."""
    return f"{resource.name}-cache"


def make_files_name(resource: Resource) -> str:
    """Name of the ConfigMap with what the engine reads at its start."""
    return f"{resource.name}-engine"


def make_pin_name(resource: Resource) -> str:
    """Name of the ConfigMap that says which commit is served."""
    return f"{resource.name}-model"


def make_metadata(resource: Resource, name: str = "") -> dict[str, Any]:
    """Metadata of a child: it has the resource's name unless another is given, and goes when the resource goes."""
    return {
        "name": name or resource.name,
        "namespace": resource.namespace,
        "labels": make_labels(resource),
        "ownerReferences": [
            {
                "apiVersion": labels.API_VERSION,
                "kind": labels.KIND,
                "name": resource.name,
                "uid": resource.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def to_selector_string(selector: dict[str, str]) -> str:
    """Write a selector as the scale subresource wants it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
