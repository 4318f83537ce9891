"""The two kinds of rules that Prometheus evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Who is to look, and when."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Source(StrEnum):
    """Whose metrics an alert is made of; without them it stays silent."""

    PODS = "the replicas' own metrics"
    OPERATOR = "the operator's own metrics"
    ADAPTER = "the metrics adapter's own metrics"
    STATE = "kube-state-metrics with our configuration"
    GPU = "NVIDIA's DCGM exporter"


@dataclass(frozen=True)
class Recording:
    """A query under a name of its own."""

    name: str
    query: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A condition that somebody should know of.

    Attributes:
        lasting: How long it must hold, as Prometheus writes durations.
        summary: One line, for a list of alerts.
        description: The facts, with numbers.
        meaning: What is known when it fires, for its page.
        steps: What to do, in order, as Markdown.
    """

    name: str
    severity: Severity
    source: Source
    lasting: str
    query: str
    summary: str
    description: str
    meaning: str
    steps: tuple[str, ...]

    @property
    def page(self) -> str:
        """Where its page is, from the repository's root."""
        return f"docs/alerts.md#{self.name.lower()}"


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated after one another, at one time."""

    name: str
    rules: tuple[Recording | Alert, ...]
