"""For how long nothing answers while replicas are replaced."""

from collections.abc import Mapping
from typing import Any

_Body = Mapping[str, Any]


def describe_gap(deployment: _Body, *, restarted: int, room: int | None, stored: _Body | None) -> str:
    """For how long nothing answers while replicas are replaced."""
    if stored is None:
        return "Nothing answers until the first replica has started."
    if not restarted:
        return "None: no replica restarts."
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    if rolling.get("maxUnavailable") == 0:
        return _describe_surge(room)
    if restarted > 1:
        return "None: the replicas are replaced one by one, and the others go on."
    took = ((stored.get("status") or {}).get("startup") or {}).get("answered")
    return (
        f"About {took}, what the latest start took: the old replica goes before the new one starts."
        if took
        else "As long as a start takes: the old replica goes before the new one starts."
    )


def _describe_surge(room: int | None) -> str:
    if room is None:
        return "None if a node has room for one more replica, for a new one answers before an old one goes."
    if room:
        return "None: a new replica answers before an old one goes, and a node has room for it."
    return "None, but no node has room for one more replica: the old ones go on until one has."
