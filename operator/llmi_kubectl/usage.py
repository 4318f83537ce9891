"""Asks replicas what they have used, through forwarded ports."""

import asyncio
from collections.abc import Iterable, Sequence

import aiohttp
from pydantic import ValidationError

from llmi_api.launch import HTTP_PORT
from llmi_api.readiness import ReadinessReport, Usage
from llmi_kubectl.client import Object
from llmi_kubectl.errors import PluginError
from llmi_kubectl.forwarding import forward

MOST_ASKED = 3
"""Each takes a kubectl of its own."""

_PATIENCE_SECONDS = 10.0
_LARGEST_BODY = 2**16


async def read_usage(pods: Iterable[Object], kubectl_flags: Sequence[str]) -> tuple[list[Usage], tuple[str, ...]]:
    """Ask the oldest of the replicas that serve; and say what kept one from answering."""
    serving = sorted(filter(_serves, pods), key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    names = [pod["metadata"]["name"] for pod in serving[:MOST_ASKED]]
    answers = await asyncio.gather(*(_ask(name, kubectl_flags) for name in names), return_exceptions=True)
    found, notes = [], []
    for answer in answers:
        if isinstance(answer, Usage):
            found.append(answer)
        elif isinstance(answer, PluginError | aiohttp.ClientError | OSError | TimeoutError):
            notes.append(f"What replicas use could not be asked ({str(answer).rstrip('.') or type(answer).__name__}).")
        elif isinstance(answer, BaseException):
            raise answer
    return found, tuple(dict.fromkeys(notes))[:1]


async def _ask(pod: str, kubectl_flags: Sequence[str]) -> Usage | None:
    """None where it says nothing of it: an older server."""
    async with forward(f"pod/{pod}", HTTP_PORT, kubectl_flags, patience=_PATIENCE_SECONDS) as base:
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(f"{base}/readyz", allow_redirects=False) as answer,
        ):
            body = await answer.content.read(_LARGEST_BODY)
    try:
        return ReadinessReport.model_validate_json(body).usage
    except ValidationError:
        return None


def _serves(pod: Object) -> bool:
    conditions = {item["type"]: item["status"] for item in (pod.get("status") or {}).get("conditions") or ()}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
