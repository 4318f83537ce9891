"""Whether the group is ours to serve, and the object by which the API server finds us."""

import base64
from collections.abc import Mapping
from typing import Any

from llmi_api import labels
from llmi_operator.kinds import API_SERVICE, Kind
from llmi_operator.metric_sources import METRICS_ADAPTER
from llmi_operator.metrics_api.documents import GROUP, VERSION

CLUSTER_ROLE = Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", selects_ours=False)
NAME = METRICS_ADAPTER
"""Of our Service, our account and our roles."""
VERSIONS = ("v1beta1", VERSION)
"""All that there are: autoscalers take one for the whole group, so another's is in our way whichever it is."""


def make_name(version: str = VERSION) -> str:
    """Name of the APIService of a version; the API server allows no other."""
    return f"{version}.{GROUP}"


def find_other(api_services: Mapping[str, Mapping[str, Any] | None], namespace: str) -> str:
    """Say who serves the group in our place; empty where nobody does."""
    for name, body in api_services.items():
        if body is not None and not is_ours(body, namespace):
            service = body["spec"].get("service") or {}
            return f"{name} is served by {service.get('namespace', '?')}/{service.get('name', '?')}"
    return ""


def is_ours(api_service: Mapping[str, Any], namespace: str) -> bool:
    """Whether it leads to our Service."""
    service = api_service["spec"].get("service") or {}
    return (service.get("namespace"), service.get("name")) == (namespace, NAME)


def make_api_service(namespace: str, role_uid: str, certificate: bytes) -> dict[str, Any]:
    """Make the object; it goes when our ClusterRole goes, so that an uninstalled adapter leaves no dead API behind."""
    owner = {"apiVersion": CLUSTER_ROLE.api_version, "kind": CLUSTER_ROLE.name, "name": NAME, "uid": role_uid}
    return {
        "apiVersion": API_SERVICE.api_version,
        "kind": API_SERVICE.name,
        "metadata": {
            "name": make_name(),
            "labels": {labels.NAME_LABEL: NAME, labels.PART_OF_LABEL: labels.SINGULAR},
            "ownerReferences": [owner],
        },
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": namespace, "name": NAME, "port": 443},
            "caBundle": base64.b64encode(certificate).decode(),
        },
    }


def is_registered(live: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether the API server already has what we would write."""
    spec = (live or {}).get("spec") or {}
    return live is not None and all(
        spec.get(key) == wanted["spec"][key] for key in ("caBundle", "groupPriorityMinimum", "versionPriority")
    )
