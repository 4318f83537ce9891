"""The ResourceClaimTemplate, by which each replica gets devices of its own through dynamic resource allocation."""

import hashlib
import json
from typing import Any

from llmi_api.v1alpha1.placement import DeviceRequest
from llmi_operator.parse import Resource
from llmi_operator.plan.names import make_metadata

DEVICES = "devices"
"""Name of the claim within the pod, and of the request within the claim."""
_DIGITS = 8


def build_claim_template(resource: Resource) -> dict[str, Any] | None:
    """Build the template; None where no devices are asked for this way.

    A template can never change, so its name holds a hash of what it asks for.
    """
    request = _find_request(resource)
    if request is None:
        return None
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": make_metadata(resource, _make_name(resource, request)),
        "spec": {"spec": {"devices": {"requests": [_build_request(request)]}}},
    }


def add_claim(pod: dict[str, Any], server: dict[str, Any], resource: Resource) -> None:
    """Let the pod have such a claim, and its server use it."""
    request = _find_request(resource)
    if request is None:
        return
    pod["resourceClaims"] = [{"name": DEVICES, "resourceClaimTemplateName": _make_name(resource, request)}]
    server["resources"] = {**server["resources"], "claims": [{"name": DEVICES}]}


def _find_request(resource: Resource) -> DeviceRequest | None:
    return resource.spec.accelerator.dra if resource.spec.accelerator else None


def _build_request(request: DeviceRequest) -> dict[str, Any]:
    exactly: dict[str, Any] = {
        "deviceClassName": request.device_class_name,
        "allocationMode": "ExactCount",
        "count": request.count,
    }
    if request.selectors:
        exactly["selectors"] = [{"cel": {"expression": expression}} for expression in request.selectors]
    return {"name": DEVICES, "exactly": exactly}


def _make_name(resource: Resource, request: DeviceRequest) -> str:
    text = json.dumps(_build_request(request), sort_keys=True)
    return f"{resource.name}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
