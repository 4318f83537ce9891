"""Where a model answers, for each type of Service."""

from llmi_api.v1alpha1 import ServiceType
from llmi_operator.observed import Observed
from llmi_operator.parse import Resource

MOST_ADDRESSES = 16
_HTTP_PORT = 80


def list_addresses(resource: Resource, observed: Observed) -> list[str]:
    """All URLs, the one that reaches furthest first: load balancer, nodes, inside the cluster."""
    service, port = resource.spec.service, resource.spec.service.port
    found = []
    if service.type is ServiceType.LOAD_BALANCER and observed.service:
        found += [_make_url(host, port) for host in observed.service.addresses]
    if service.type is ServiceType.NODE_PORT and observed.service and observed.service.node_port:
        found += [_make_url(host, observed.service.node_port) for host in observed.node_addresses]
    return [*found[: MOST_ADDRESSES - 1], _make_url(f"{resource.name}.{resource.namespace}.svc", port)]


def _make_url(host: str, port: int) -> str:
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}" if port == _HTTP_PORT else f"http://{host}:{port}"
