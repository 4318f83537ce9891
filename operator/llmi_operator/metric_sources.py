"""Who serves the APIs that autoscalers ask for numbers, read from the objects by which those are registered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CUSTOM = "custom.metrics.k8s.io"
RESOURCE = "metrics.k8s.io"
EXTERNAL = "external.metrics.k8s.io"
REGISTRATIONS = {
    CUSTOM: (f"v1beta2.{CUSTOM}", f"v1beta1.{CUSTOM}"),
    RESOURCE: (f"v1beta1.{RESOURCE}",),
    EXTERNAL: (f"v1beta1.{EXTERNAL}",),
}
"""The APIServices of each group, the version that autoscalers prefer first."""
METRICS_ADAPTER = "llminference-metrics-adapter"
"""Our own program for requests in flight, and its Service."""


@dataclass(frozen=True)
class MetricSource:
    """A program that serves a group.

    Attributes:
        name: Name of its Service.
        fault: Why it cannot be used, in the API server's words; empty when it can.
    """

    name: str
    namespace: str
    fault: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is our metrics adapter."""
        return self.name == METRICS_ADAPTER

    @property
    def words(self) -> str:
        """As sentences name it."""
        return f"{self.name} in {self.namespace}"


MetricSources = Mapping[str, MetricSource]
"""The programs by group; a group that nobody serves is absent."""


def read_metric_sources(registrations: Mapping[str, Mapping[str, Any] | None]) -> MetricSources:
    """Say who serves what, out of the APIServices by name."""
    sources: dict[str, MetricSource] = {}
    for group, names in REGISTRATIONS.items():
        body = next((found for name in names if (found := registrations.get(name)) is not None), None)
        if body is not None:
            sources[group] = _read_source(body)
    return sources


def _read_source(body: Mapping[str, Any]) -> MetricSource:
    service = body["spec"].get("service") or {}
    conditions = {item["type"]: item for item in (body.get("status") or {}).get("conditions") or ()}
    available = conditions.get("Available") or {}
    fault = "" if available.get("status") == "True" else available.get("message") or "the API server has not reached it"
    return MetricSource(name=service.get("name", "?"), namespace=service.get("namespace", "?"), fault=fault)
