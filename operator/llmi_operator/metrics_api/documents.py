"""What the API answers: discovery, values, refusals. Plain JSON in the API server's shapes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from llmi_api.metric_names import IN_FLIGHT_METRIC

Json = dict[str, Any]
GROUP = "custom.metrics.k8s.io"
VERSION = "v1beta2"
ROOT = f"/apis/{GROUP}/{VERSION}"
EVERY_POD = "*"
_VALUES = re.compile(rf"{re.escape(ROOT)}/namespaces/(?P<namespace>[^/]+)/pods/(?P<pod>[^/]+)/(?P<metric>[^/]+)")

_REASONS: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
}


@dataclass(frozen=True)
class Question:
    """A metric of one pod, or of every pod that a selector matches.

    Attributes:
        pod: Its name, or `EVERY_POD`.
    """

    namespace: str
    pod: str
    metric: str


def parse_path(path: str) -> Question | None:
    """Read what a path asks for; None when it asks for no values of pods."""
    found = _VALUES.fullmatch(path)
    return Question(**found.groupdict()) if found else None


def list_resources() -> Json:
    """Say what there is, as the API server's discovery wants it."""
    resource = {
        "name": f"pods/{IN_FLIGHT_METRIC}",
        "singularName": "",
        "namespaced": True,
        "kind": "MetricValueList",
        "verbs": ["get"],
    }
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": [resource],
    }


def list_values(namespace: str, values: Iterable[tuple[str, int]], now: datetime) -> Json:
    """Say how many requests each pod has in flight."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    items = [
        {
            "describedObject": {"apiVersion": "/v1", "kind": "Pod", "namespace": namespace, "name": pod},
            "metric": {"name": IN_FLIGHT_METRIC, "selector": None},
            "timestamp": stamp,
            "value": str(value),
        }
        for pod, value in values
    ]
    return {"kind": "MetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}


def refuse(code: int, message: str) -> Json:
    """Say no in the API server's words."""
    reason = _REASONS.get(code, "InternalError")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
