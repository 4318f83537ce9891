"""Lets every pod run and answer, as far as the API knows: there is no kubelet beside a bare API server.

It makes one node, gives every pod to it, says that the pod is ready, and takes deleted pods away.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from llmi_testing.api import Api, path
from llmi_testing.space import ready_status

PERIOD_SECONDS = 0.3
HEARTBEAT_SECONDS = 5.0
NODE = "pretend"


class PretendKubelet:
    """Use it as a context manager."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._addresses = itertools.count(1)
        self._beat_at = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pretend kubelet", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._done.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._done.wait(PERIOD_SECONDS):
            # While the API server is away, and where a pod has just gone, there is nothing to do.
            with contextlib.suppress(OSError, AssertionError):
                self._beat()
                for pod in self._api.list("pods"):
                    with contextlib.suppress(AssertionError):
                        self._care_for(pod)
        self._api.close()

    def _beat(self) -> None:
        """Say that the node is well, before the controllers think otherwise."""
        if time.monotonic() - self._beat_at < HEARTBEAT_SECONDS:
            return
        if self._api.get("nodes", "", NODE) is None:
            self._api.create("nodes", "", {"metadata": {"name": NODE}})
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "Pretended", "lastHeartbeatTime": stamp}
        self._api.patch("nodes", "", NODE, {"status": {"conditions": [ready]}}, "status")
        self._beat_at = time.monotonic()

    def _care_for(self, pod: dict[str, Any]) -> None:
        metadata = pod["metadata"]
        place = path("pods", metadata["namespace"], metadata["name"])
        if "deletionTimestamp" in metadata:
            self._api.ask("DELETE", place, {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}})
            return
        if not pod["spec"].get("nodeName"):
            binding = {"metadata": {"name": metadata["name"]}, "target": {"kind": "Node", "name": NODE}}
            self._api.ask("POST", f"{place}/binding", binding)
        if not pod.get("status", {}).get("podIP"):
            number = next(self._addresses)
            address = f"10.{200 + number // 60000 % 50}.{number // 250 % 240}.{number % 250 + 1}"
            status = ready_status(pod) | {"podIP": address, "podIPs": [{"ip": address}]}
            self._api.patch("pods", metadata["namespace"], metadata["name"], {"status": status}, "status")
