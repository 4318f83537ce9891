"""The NetworkPolicy: who may call the replicas, and the little that they may call."""

from typing import Any
from urllib.parse import urlsplit

from llmi_api.v1alpha1.model_source import ModelSource
from llmi_api.v1alpha1.network import AllowedPeer
from llmi_operator.metric_sources import METRICS_ADAPTER
from llmi_operator.parse import Resource
from llmi_operator.plan.engines import find_metrics_port, find_port
from llmi_operator.plan.names import make_metadata, make_selector
from llmi_operator.settings import ServerDefaults

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
OPERATOR_LABELS = {"app.kubernetes.io/name": "llminference-operator"}
ADAPTER_LABELS = {"app.kubernetes.io/name": METRICS_ADAPTER}
KEDA_NAMESPACE = "keda"
KEDA_LABELS = {"app": "keda-operator"}
# OpenShift's DNS pods listen on the second one, and a policy sees the pod's port.
DNS_PORTS = (53, 5353)
# DNS is asked inside: in pods, or at an address of a node or of its own (link-local on many clusters).
INSIDE = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
# There the clouds hand out a node's credentials.
METADATA_V4 = "169.254.0.0/16"
METADATA_V6 = "fd00:ec2::254/128"
HTTPS_PORT = 443
HTTP_SCHEME_PORT = 80


def build_network_policy(resource: Resource, defaults: ServerDefaults) -> dict[str, Any]:
    """Build the policy: in to the one port, out to DNS and, for a model from a hub, to the hub."""
    egress = [_allow_dns()]
    if resource.spec.model.id is not None:
        egress += _allow_hub(resource.spec.model, resource.namespace)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": make_metadata(resource),
        "spec": {
            "podSelector": {"matchLabels": make_selector(resource)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [_allow_callers(resource, defaults)],
            "egress": egress,
        },
    }


def _allow_callers(resource: Resource, defaults: ServerDefaults) -> dict[str, Any]:
    access, scaling = resource.spec.access, resource.spec.autoscaling
    ports = dict.fromkeys((find_port(resource), find_metrics_port(resource)))
    rule: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": port} for port in ports]}
    if access is None or access.allow_from is None:
        return rule
    own = {NAMESPACE_LABEL: defaults.operator_namespace}
    helpers = [_select(OPERATOR_LABELS, own)]
    if scaling is not None and scaling.targets.in_flight_per_replica is not None:
        keda = _select(KEDA_LABELS, {NAMESPACE_LABEL: KEDA_NAMESPACE})
        helpers.append(keda if scaling.uses_keda else _select(ADAPTER_LABELS, own))
    return rule | {"from": [*(_to_peer(peer) for peer in access.allow_from), *helpers]}


def _to_peer(peer: AllowedPeer) -> dict[str, Any]:
    if peer.cidr is not None:
        return {"ipBlock": {"cidr": peer.cidr}}
    return _select(peer.pod_labels, peer.namespace_labels)


def _select(pods: dict[str, str] | None, namespaces: dict[str, str] | None) -> dict[str, Any]:
    """A selector that is absent is not the same as an empty one, which selects all."""
    selectors = {"podSelector": pods, "namespaceSelector": namespaces}
    return {
        name: {"matchLabels": dict(sorted(labels.items()))} if labels else {}
        for name, labels in selectors.items()
        if labels is not None
    }


def _allow_dns() -> dict[str, Any]:
    ports = [{"protocol": protocol, "port": port} for port in DNS_PORTS for protocol in ("UDP", "TCP")]
    return {"to": [{"namespaceSelector": {}}, *({"ipBlock": {"cidr": cidr}} for cidr in INSIDE)], "ports": ports}


def _allow_hub(source: ModelSource, namespace: str) -> list[dict[str, Any]]:
    url = urlsplit(source.endpoint or "https://huggingface.co")
    port = url.port or (HTTP_SCHEME_PORT if url.scheme == "http" else HTTPS_PORT)
    outside = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [METADATA_V4]}},
        {"ipBlock": {"cidr": "::/0", "except": [METADATA_V6]}},
    ]
    rules: list[dict[str, Any]] = [{"to": outside, "ports": [{"protocol": "TCP", "port": port}]}]
    inside = _find_namespace(url.hostname or "", namespace)
    if source.endpoint is not None and inside:
        # A Service's port is not its pods': all of their ports, in that namespace alone.
        rules.append({"to": [_select(None, {NAMESPACE_LABEL: inside})], "ports": [{"protocol": "TCP"}]})
    return rules


def _find_namespace(host: str, own: str) -> str:
    """Namespace of a mirror that is a Service of the cluster, by its name; empty if it is not.

    ``hub.models`` may also be a domain of the internet: then a namespace is allowed that hardly exists.
    """
    parts = host.rstrip(".").split(".")
    if len(parts) == 1:
        return own
    return parts[1] if len(parts) == 2 or parts[2] == "svc" else ""  # noqa: PLR2004 - name and namespace
