"""Nodes that nobody runs, for a real scheduler: they have what a test says, and report as kubelets do."""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually

BEAT_SECONDS = 10
NOT_READY = "node.kubernetes.io/not-ready"


class Nodes:
    """They report every few seconds, in their kubelets' place, or else the node controller gives them up.

    Use it as a context manager: the nodes live as long as the block.
    """

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._amounts: dict[str, dict[str, str]] = {}
        self._stopped = threading.Event()
        self._silent: set[str] = set()
        self._broken: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._beat, name="nodes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        for name in self._amounts:
            self._server.kubectl("delete", "node", name)

    def make(
        self, name: str, *, more: dict[str, str] | None = None, labels: dict[str, str] | None = None, **spec: Any
    ) -> None:
        """Make a node with 4 cores, 8 GiB and other things on request."""
        amounts = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "100Gi", **(more or {})}
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}
        self._server.kubectl("create", "-f", "-", stdin=json.dumps(body))
        self._report(name, amounts)
        self._amounts[name] = amounts
        # A new node bears it until a controller has seen the report, and says so of pods that it is to take.
        words = ("get", "node", name, "-o", "jsonpath={.spec.taints[*].key}")
        eventually(lambda: NOT_READY not in self._server.kubectl(*words), f"the node {name} is ready")

    def let_fall_off(self, name: str, resource: str) -> None:
        """Let a node's devices be there and not work."""
        self._broken.add((name, resource))
        self._report(name, self._amounts[name])

    def silence(self, name: str) -> None:
        """Let a node report no more."""
        self._silent.add(name)

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            for name, amounts in list(self._amounts.items()):
                if name not in self._silent:
                    # One report that fails is made up for by the next; a thread that ends would lose every node.
                    with contextlib.suppress(AssertionError):
                        self._report(name, amounts)

    def _report(self, name: str, amounts: dict[str, str]) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": stamp}
        addresses = [{"type": "InternalIP", "address": "192.0.2.7"}]
        status = {
            "conditions": [condition],
            "addresses": addresses,
            "capacity": amounts,
            "allocatable": self._keep(name, amounts),
        }
        self._server.kubectl("patch", "node", name, "--subresource=status", "-p", json.dumps({"status": status}))

    def _keep(self, node: str, amounts: dict[str, str]) -> dict[str, str]:
        """What pods may ask for: the kubelet offers 0 of devices that do not work."""
        return {name: "0" if (node, name) in self._broken else amount for name, amount in amounts.items()}
