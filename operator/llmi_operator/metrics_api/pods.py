"""Which pods can be asked, and where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmi_operator.metrics_api.documents import EVERY_POD
from llmi_operator.plan.names import METRICS_PATH


@dataclass(frozen=True)
class Target:
    """A pod to ask."""

    pod: str
    url: str


def choose_targets(pods: Iterable[Mapping[str, Any]], port: int, name: str = EVERY_POD) -> list[Target]:
    """Those that run and have an address. One that is being stopped still works off what it has."""
    return [
        Target(body["metadata"]["name"], f"http://{_bracket(status['podIP'])}:{port}{METRICS_PATH}")
        for body in pods
        if name in {EVERY_POD, body["metadata"]["name"]}
        and (status := body.get("status") or {}).get("phase") == "Running"
        and status.get("podIP")
    ]


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address
