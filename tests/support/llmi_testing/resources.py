"""LLMInferences on a real API server: made, and waited for until they are ready."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmi_testing.api import Api
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body

BATCH = 10


def create_ready(api: Api, namespace: str, names: Iterable[str], *, seconds: float = 120.0, **spec: Any) -> None:
    """Create all and wait for all, a few at a time; somebody must let their pods run."""
    rest = list(names)
    while rest:
        batch, rest = rest[:BATCH], rest[BATCH:]
        for name in batch:
            api.create("llminferences", namespace, make_body(name, **spec))
        for name in batch:
            wait_until_ready(api, namespace, name, seconds=seconds)


def wait_until_ready(api: Api, namespace: str, name: str, *, seconds: float = 60.0) -> None:
    """Wait until the status says that the present spec is served."""
    eventually(lambda: is_ready(api, namespace, name), f"{namespace}/{name} is ready", seconds=seconds)


def is_ready(api: Api, namespace: str, name: str) -> bool:
    """Whether the status says that the present spec is served."""
    body = api.need("llminferences", namespace, name)
    ready = find_condition(body)
    return ready.get("status") == "True" and ready["observedGeneration"] == body["metadata"]["generation"]


def find_condition(body: dict[str, Any], kind: str = "Ready") -> dict[str, Any]:
    """One condition of a resource; empty while it is missing."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == kind), {})


def wait_for_reason(api: Api, namespace: str, name: str, reason: str, *, seconds: float = 60.0) -> str:
    """Wait until Ready has a reason.

    Returns:
        The sentence for the user.
    """

    def look() -> dict[str, Any]:
        body = api.need("llminferences", namespace, name)
        assert find_condition(body).get("reason") == reason, body.get("status")
        return body

    return str(eventually(look, seconds=seconds)["status"].get("why", ""))
