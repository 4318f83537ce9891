"""A namespace of a test on a real API server: short words for what tests do in it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually

Body = dict[str, Any]


class Space:
    """One namespace. Nothing in it runs: there is no kubelet, so tests write the pods' status themselves."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace

    def apply(self, body: Body) -> None:
        """Apply as a user would."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def get(self, kind: str, name: str) -> Body | None:
        """Read an object; None when there is none."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found", "--show-managed-fields")
        return json.loads(text) if text.strip() else None

    def need(self, kind: str, name: str) -> Body:
        """Read an object that must exist."""
        body = self.get(kind, name)
        assert body is not None, f"there is no {kind} {name}"
        return body

    def list(self, kind: str) -> list[Body]:
        """Read all objects of a kind."""
        items: list[Body] = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return items

    def patch(self, kind: str, name: str, change: Body, *more: str) -> None:
        """Merge a change."""
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(change), *more)

    def delete(self, kind: str, name: str, *more: str) -> None:
        """Delete and come back at once."""
        self.kubectl("delete", kind, name, "--wait=false", *more)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl in this namespace; an error carries what kubectl said."""
        try:
            return self.server.kubectl("-n", self.namespace, *words, stdin=stdin)
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"kubectl {' '.join(words)}: {error.stderr}") from error

    def status(self, name: str) -> Body:
        """What the operator reports about an LLMInference."""
        status: Body = self.need("llmi", name).get("status", {})
        return status

    def condition(self, name: str, kind: str = "Ready") -> Body:
        """One condition of an LLMInference; empty while it is missing."""
        return _condition(self.status(name), kind)

    def wait_for_reason(self, name: str, reason: str, *, seconds: float = 40.0) -> str:
        """Wait until Ready has a reason that is about the present spec.

        Returns:
            The sentence for the user, as it stood beside that reason.
        """

        def look() -> Body:
            body = self.need("llmi", name)
            status: Body = body.get("status", {})
            assert _condition(status, "Ready").get("reason") == reason, status
            assert status.get("observedGeneration") == body["metadata"]["generation"], status
            return status

        return str(eventually(look, seconds=seconds).get("why", ""))

    def wait_for_pods(self, count: int) -> list[Body]:
        """Wait until there are so many pods that are not being deleted."""

        def look() -> list[Body]:
            pods = [pod for pod in self.list("pods") if "deletionTimestamp" not in pod["metadata"]]
            assert len(pods) == count, f"{len(pods)} pods instead of {count}: {[_name(pod) for pod in pods]}"
            return pods

        return eventually(look)

    def set_pod_status(self, name: str, status: Body) -> None:
        """Write a pod's status in the kubelet's or the scheduler's place."""
        self.patch("pod", name, {"status": status}, "--subresource=status")

    def make_pods_ready(self) -> None:
        """Let every pod run and answer, as far as the API knows."""
        for pod in self.list("pods"):
            self.set_pod_status(pod["metadata"]["name"], ready_status(pod))


def _name(body: Body) -> str:
    return str(body["metadata"]["name"])


def _condition(status: Body, kind: str) -> Body:
    return next((item for item in status.get("conditions", []) if item["type"] == kind), {})


def ready_status(pod: Body) -> Body:
    """A pod's status when all is well."""
    stamp = pod["metadata"]["creationTimestamp"]
    running = {"state": {"running": {"startedAt": stamp}}, "ready": True, "started": True, "restartCount": 0}
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": stamp} for kind in kinds],
        "initContainerStatuses": None,
        "containerStatuses": [{"name": "server", "image": "x", "imageID": "x", **running}],
    }


def container_status(name: str, state: Body, *, last: Body | None = None, restarts: int = 0) -> Body:
    """A container's status that is not ready."""
    return {
        "name": name,
        "image": "llminference/server:dev",
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
    }
