"""Which pods can be asked, and where."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmi_api.launch import HTTP_PORT
from llmi_operator.metrics_api.documents import EVERY_POD
from llmi_operator.plan.names import METRICS_PATH, SCRAPE_PORT_ANNOTATION


@dataclass(frozen=True)
class Target:
    """A pod to ask."""

    pod: str
    url: str


def choose_targets(pods: Iterable[Mapping[str, Any]], port: int, name: str = EVERY_POD) -> list[Target]:
    """Those that run and have an address. One that is being stopped still works off what it has."""
    return [
        Target(body["metadata"]["name"], f"http://{_bracket(status['podIP'])}:{_find_port(body, port)}{METRICS_PATH}")
        for body in pods
        if name in {EVERY_POD, body["metadata"]["name"]}
        and (status := body.get("status") or {}).get("phase") == "Running"
        and status.get("podIP")
    ]


def _find_port(body: Mapping[str, Any], served: int) -> int:
    """Where a pod tells its metrics: engines may have a port of their own for it."""
    told = (body["metadata"].get("annotations") or {}).get(SCRAPE_PORT_ANNOTATION, "")
    return int(told) if told.isdecimal() and int(told) != HTTP_PORT else served


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address
