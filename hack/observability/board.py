"""What a dashboard is, and what its panels have in common."""

from __future__ import annotations

from dataclasses import dataclass

from observability.panel import Row

NAME = "{{namespace}}/{{llminference}}"
STATE, CADVISOR, DCGM, PRICES = "kube-state-metrics", "cAdvisor", "DCGM exporter", "a list of prices"


@dataclass(frozen=True, kw_only=True)
class Board:
    """A dashboard.

    Attributes:
        variables: Labels of ``llminference:pod:up`` that are chosen at its top.
        several: Whether several values may be chosen.
    """

    uid: str
    title: str
    what: str
    variables: tuple[str, ...]
    several: bool
    rows: tuple[Row, ...]
