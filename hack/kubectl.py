"""Reads and changes a cluster through the kubectl program."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from problems import CommandFailed

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Kubectl:
    """A kubectl with the kubeconfig it uses; without one, kubectl's own rules choose."""

    program: Path
    kubeconfig: Path | None

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """Run it and give what it prints; CommandFailed tells what it said otherwise."""
        argv = [str(self.program), *words]
        environment = {**os.environ, **({"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {})}
        limit = TIMEOUT_SECONDS + asked_to_wait(words)
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                text=True,
                env=environment,
                check=False,
                timeout=limit,
            )
        except subprocess.TimeoutExpired as late:
            raise CommandFailed(argv, 124, f"no answer within {limit:.0f} s") from late
        if done.returncode != 0:
            raise CommandFailed(argv, done.returncode, done.stderr)
        return done.stdout

    def items(self, *words: str) -> list[dict[str, Any]]:
        """List objects."""
        found: list[dict[str, Any]] = json.loads(self("get", *words, "-o", "json", "--request-timeout=10s"))["items"]
        return found


def asked_to_wait(words: Iterable[str]) -> float:
    """How many seconds kubectl itself is told to wait: it ends then, and says what it has seen."""
    told = (re.fullmatch(r"--timeout=(\d+)s", word) for word in words)
    return max((float(one[1]) for one in told if one), default=0.0)


def whats_missing(kubectl: Kubectl, *, nodes: int | None = None) -> list[str]:
    """Tell, as short sentences, what keeps the cluster from being ready; nothing if it is."""
    try:
        objects = kubectl.items("nodes,daemonsets.apps,deployments.apps,apiservices", "-n", "kube-system")
    except CommandFailed as error:
        return [f"the API server does not answer ({error.output.strip().splitlines()[-1:]})"]
    return missing_of(objects, nodes)


def missing_of(objects: list[dict[str, Any]], nodes: int | None) -> list[str]:
    """Judge the listed objects."""
    missing: list[str] = []
    names: set[str] = set()
    for item in objects:
        kind, name, status = item["kind"], item["metadata"]["name"], item.get("status", {})
        names.add(f"{kind}/{name}")
        if kind == "Node" and not _is_true(status, "Ready"):
            missing.append(f"node {name} is not Ready")
        elif kind == "APIService" and not _is_true(status, "Available"):
            missing.append(f"API {name} is not available")
        elif kind == "Deployment" and status.get("availableReplicas", 0) < item["spec"]["replicas"]:
            missing.append(f"{name} is not available")
        elif kind == "DaemonSet" and status.get("numberAvailable", 0) < max(1, status.get("desiredNumberScheduled", 0)):
            missing.append(f"{name} does not run on every node")
    missing += [f"{n} is absent" for n in ("Deployment/coredns", "Deployment/metrics-server") if n not in names]
    if "APIService/v1beta1.metrics.k8s.io" not in names:
        missing.append("the metrics API is absent")
    seen = sum(name.startswith("Node/") for name in names)
    if nodes is not None and seen != nodes:
        missing.append(f"there are {seen} nodes instead of {nodes}")
    return missing


def _is_true(status: dict[str, Any], kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions", []))
