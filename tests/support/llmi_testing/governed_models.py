"""Models that a real operator governs on a real API server, what goes wrong with each of them, and its end.

There is no kubelet: what it would write into the status of pods is written here. All that follows is real: the
operator's words, the controllers', and what kube-state-metrics makes of them.
"""

from __future__ import annotations

import json
from typing import Any

from llmi_testing.api import Api
from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.situations import GAVE_UP
from llmi_testing.space import Space, container_status, ready_status

NAMESPACE = "models"
ROOM = 120
LONG_AGO = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:30Z"}
PLAIN = ("well", "unschedulable", "loading", "crashing", "restarting", "hungry", "gated", "stuck")
SCALED = ("busy", "blind")
SPECS: dict[str, dict[str, Any]] = {
    **{name: {} for name in PLAIN},
    **{name: {"autoscaling": {"maxReplicas": 2}} for name in SCALED},
}
SAYS = {
    "well": "Serving",
    "unschedulable": "Unschedulable",
    "loading": "Loading",
    "crashing": "CrashLoop",
    "hungry": "OutOfMemory",
    "gated": "TokenRefused",
    "stuck": "RolloutStuck",
    "blind": "AutoscalerBlind",
}
"""The operator's reason for each, once it is broken; those that are absent say what the ones that are well say."""


class GovernedModels:
    """Each has a replica, and a fault of its own."""

    def __init__(self, server: ApiServer) -> None:
        server.kubectl("create", "namespace", NAMESPACE)
        self.space = Space(server, NAMESPACE)
        self._api = Api(server)

    def apply(self) -> None:
        """Apply all; an operator makes the pods."""
        for name, spec in SPECS.items():
            self._api.create("llminferences", NAMESPACE, make_body(name, **spec))
        eventually(lambda: len(self._api.list("pods", NAMESPACE)) == len(SPECS), "the pods are there", seconds=ROOM)

    def let_a_rollout_expire(self) -> None:
        """Let the deadline of one pass, which is at least 90 s; to be called while no operator runs."""
        self.space.patch("deployment", "stuck", {"spec": {"progressDeadlineSeconds": 1}})
        late = lambda: "ProgressDeadlineExceeded" in str(self._api.need("deployments", NAMESPACE, "stuck")["status"])  # noqa: E731
        eventually(late, "the deadline of a rollout passes", seconds=ROOM)

    def pod_of(self, name: str) -> str:
        """The pod of a model."""
        return str(self._pod(name)["metadata"]["name"])

    def begin(self) -> None:
        """Let all be well that is not to be broken from the start."""
        for name in ("well", "restarting", *SCALED):
            self._make_ready(name)

    def break_all(self) -> None:
        """Begin every fault, and wait until the operator says so."""
        unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
        self._tell("unschedulable", {"phase": "Pending", "conditions": [unplaced]})
        self._tell_server("loading", {"running": {"startedAt": LONG_AGO["startedAt"]}})
        self._tell_server("crashing", _waiting(), last=_ended(1, "Error", "ValueError: no"), restarts=3)
        self._tell_server("hungry", _waiting(), last=_ended(137, "OOMKilled"), restarts=1)
        refused = dict(zip(("code", "message", "next"), ("TokenRefused", *GAVE_UP["TokenRefused"][1:]), strict=True))
        given_up = container_status("fetch", _waiting(), last=_ended(67, "Error", json.dumps(refused)), restarts=1)
        self._tell("gated", {"initContainerStatuses": [given_up], "containerStatuses": None})
        self._make_ready("restarting", restarts=5)
        eventually(lambda: self._scale("busy", 2), "the operator tells what its autoscaler wants", seconds=ROOM)
        eventually(self._blind, "the operator says that an autoscaler is blind", seconds=ROOM)
        for name, reason in SAYS.items():
            self._wait_for(name, reason)

    def mend_all(self) -> None:
        """End every fault, and wait until the operator says so."""
        for name in SPECS:
            self._make_ready(name)
        self._patch("llminferences", "blind", {"spec": {"autoscaling": None}})
        eventually(lambda: self._scale("busy", 1), "the operator tells what its autoscaler wants", seconds=ROOM)
        for name in SPECS.keys() - {"busy"}:
            self._wait_for(name, "Serving")

    def edit_all(self, number: int) -> None:
        """Change what every model is to be like, so that the operator has to write, but no pod is to be replaced."""
        for name in SPECS:
            self._patch("llminferences", name, {"spec": {"service": {"annotations": {"example.com/n": str(number)}}}})

    def close(self) -> None:
        """Ask the API server no more."""
        self._api.close()

    def _patch(self, kind: str, name: str, change: dict[str, Any], subresource: str = "") -> None:
        self._api.patch(kind, NAMESPACE, name, change, subresource)

    def _pod(self, name: str) -> dict[str, Any]:
        return self._api.list("pods", NAMESPACE, f"llminference.dev/llminference={name}")[0]

    def _status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self._api.need("llminferences", NAMESPACE, name).get("status", {})
        return status

    def _says(self, name: str) -> str:
        conditions = self._status(name).get("conditions", [])
        return next((str(one["reason"]) for one in conditions if one["type"] == "Ready"), "")

    def _wait_for(self, name: str, reason: str) -> None:
        eventually(lambda: self._says(name) == reason, f"the operator says {reason} of {name}", seconds=ROOM)

    def _tell(self, name: str, status: dict[str, Any]) -> None:
        self._patch("pods", self.pod_of(name), {"status": status}, "status")

    def _tell_server(self, name: str, state: dict[str, Any], **more: Any) -> None:
        self._tell(name, {"phase": "Running", "containerStatuses": [container_status("server", state, **more)]})

    def _make_ready(self, name: str, *, restarts: int = 0) -> None:
        status = ready_status(self._pod(name))
        status["containerStatuses"][0] |= {"restartCount": restarts, "lastState": {}}
        self._tell(name, status)

    def _scale(self, name: str, wanted: int) -> bool:
        """In the place of the autoscaler's controller, which does not run here: until the operator has read it."""
        used = {"averageUtilization": 70 * wanted, "averageValue": "300m"}
        cpu = {
            "type": "ContainerResource",
            "containerResource": {"container": "server", "name": "cpu", "current": used},
        }
        self._tell_autoscaler(
            name, {"currentReplicas": 1, "desiredReplicas": wanted, "currentMetrics": [cpu]}, active=True
        )
        return bool(self._status(name).get("scaling", {}).get("desired") == wanted)

    def _blind(self) -> bool:
        """In its place too: it has been blind for longer than the operator waits."""
        self._tell_autoscaler("blind", {"currentReplicas": 1, "desiredReplicas": 1}, active=False)
        return self._says("blind") == "AutoscalerBlind"

    def _tell_autoscaler(self, name: str, status: dict[str, Any], *, active: bool) -> None:
        words = ("True", "ValidMetricFound") if active else ("False", "FailedGetResourceMetric")
        condition = {
            "type": "ScalingActive",
            "status": words[0],
            "reason": words[1],
            "message": "no metrics returned from resource metrics API",
            "lastTransitionTime": LONG_AGO["startedAt"],
        }
        whole = {"status": {"conditions": [condition], **status}}
        self._patch("horizontalpodautoscalers", name, whole, "status")


def _waiting() -> dict[str, Any]:
    return {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


def _ended(code: int, reason: str, message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **LONG_AGO}}
