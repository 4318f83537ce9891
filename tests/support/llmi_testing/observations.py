"""What an operator may observe, for tests of status."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from llmi_operator.observed import (
    ConditionState,
    ContainerState,
    DeploymentState,
    Observed,
    PodState,
    Termination,
)

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(seconds=seconds)


def condition(status: str, reason: str = "", message: str = "", seconds: float = 60) -> ConditionState:
    """A condition that has held for some seconds."""
    return ConditionState(status=status, reason=reason, message=message, since=ago(seconds))


def deployment(wanted: int = 1, ready: int = 0, **changes: Any) -> DeploymentState:
    """A Deployment whose pods are all of the present version."""
    state = DeploymentState(
        generation=1, observed_generation=1, wanted=wanted, total=wanted, updated=wanted, ready=ready, conditions={}
    )
    return dataclasses.replace(state, **changes)


def container(name: str = "server", **changes: Any) -> ContainerState:
    """A container that has never run."""
    state = ContainerState(name=name, image="llminference/server:dev", ready=False, started=False, restarts=0)
    return dataclasses.replace(state, **changes)


def running(name: str = "server", seconds: float = 60, **changes: Any) -> ContainerState:
    """A container that runs."""
    return container(name, running_since=ago(seconds), **changes)


def end(code: int, message: str = "", *, reason: str = "Error", ran: float = 30) -> Termination:
    """How a container ended a minute ago."""
    return Termination(exit_code=code, reason=reason, message=message, started_at=ago(60 + ran), finished_at=ago(60))


def failure(code: str, message: str, step: str) -> str:
    """The line that a container leaves behind when it gives up."""
    return "some log\n" + json.dumps({"code": code, "message": message, "next": step})


def fetched(commit: str) -> ContainerState:
    """A download that has brought a commit."""
    line = json.dumps({"revision": commit, "bytes": 1_340_000_000, "seconds": 16})
    return container("fetch", terminated=end(0, line, reason="Completed", ran=16))


def pod(name: str = "bert-1-a", **changes: Any) -> PodState:
    """A pod that is scheduled and has just been made."""
    state = PodState(
        name=name,
        uid=f"uid-{name}",
        revision="1",
        created_at=ago(90),
        deleting=False,
        phase="Pending",
        reason="",
        message="",
        conditions={"PodScheduled": condition("True")},
        fetch=None,
        server=None,
    )
    return dataclasses.replace(state, **changes)


def ready_pod(name: str = "bert-1-a", **changes: Any) -> PodState:
    """A pod that answers."""
    conditions = {"PodScheduled": condition("True"), "Ready": condition("True")}
    server = running(ready=True, started=True)
    return pod(name, **{"phase": "Running", "conditions": conditions, "server": server, **changes})


def observed(*pods: PodState, **changes: Any) -> Observed:
    """A Deployment that wants one replica, and some pods."""
    return Observed(**{"now": NOW, "deployment": deployment(), "pods": pods, **changes})
