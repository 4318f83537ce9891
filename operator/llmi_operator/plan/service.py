"""The Service in front of the replicas."""

from typing import Any

from llmi_operator.parse import Resource
from llmi_operator.plan.names import HTTP_PORT_NAME, make_metadata, make_selector


def build_service(resource: Resource) -> dict[str, Any]:
    """Build the Service. Addresses and node ports are the cluster's to choose, so they are not in it."""
    service = resource.spec.service
    metadata = make_metadata(resource)
    if service.annotations:
        metadata["annotations"] = dict(sorted(service.annotations.items()))
    spec: dict[str, Any] = {
        "type": service.type.value,
        "selector": make_selector(resource),
        "ports": [{"name": HTTP_PORT_NAME, "port": service.port, "targetPort": HTTP_PORT_NAME, "protocol": "TCP"}],
    }
    if service.load_balancer_class is not None:
        spec["loadBalancerClass"] = service.load_balancer_class
    if service.load_balancer_source_ranges is not None:
        spec["loadBalancerSourceRanges"] = sorted(service.load_balancer_source_ranges)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
