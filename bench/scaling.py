"""How soon a step of load gets another replica, and what is refused until then: ``make bench-scaling``.

On the local cluster with the operator (``make deploy``), by requests in flight and by CPU alone, one after the other in
one run. For each: a model at rest with one replica; then clients that ask again and again, more than one replica
takes; the seconds until the autoscaler asks for a second replica, until that answers, and the requests that were
refused from the step until then. The cluster's autoscaler looks every 5 s (hack/kind_cluster.py), that of others
every 15 s.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import deploy
import kind_cluster
from kubectl import Kubectl
from llmi_testing.live_cluster import TINY_BERT, LiveCluster, eventually

ADAPTER = Path(__file__).resolve().parent.parent / "deploy" / "metrics-adapter"
REGISTRATION = "apiservice/v1beta2.custom.metrics.k8s.io"
BODY = {"inputs": ["The capital of France is [MASK]."] * 16}
TARGETS: dict[str, dict[str, int]] = {"in flight": {"inFlightPerReplica": 4}, "CPU": {"cpuPercent": 70}}
CLIENTS = 16
"""Of which a replica runs and keeps waiting eight; it refuses the others."""
REPLICA: dict[str, Any] = {
    "resources": {"requests": {"cpu": "250m", "memory": "700Mi"}, "limits": {"cpu": "500m", "memory": "1500Mi"}},
    "limits": {"maxQueuedRequests": 8},
    "rollout": {"drainSeconds": 10},
}


@dataclass(frozen=True)
class Step:
    """What one step of load came to; seconds count from its first request."""

    by: str
    asked_for_seconds: float
    serving_seconds: float
    answered: int
    refused: int


@contextmanager
def adapter(kubectl: Kubectl, image: str) -> Iterator[None]:
    """The metrics adapter, from the operator's image."""
    name, _, tag = image.rpartition(":")
    with tempfile.TemporaryDirectory() as folder:
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(ADAPTER, folder)],
            "images": [{"name": "llminference/operator", "newName": name, "newTag": tag}],
        }
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(overlay))
        kubectl("apply", "-k", folder)
        try:
            eventually(lambda: kubectl("get", REGISTRATION, "--ignore-not-found"), "it has registered", seconds=90)
            kubectl("wait", "--for=condition=Available", REGISTRATION, "--timeout=55s")
            yield
        finally:
            kubectl("delete", "-k", folder, "--wait=false")


def measure(cluster: LiveCluster, by: str) -> Step:
    """Put a step of load on a model at rest."""
    name = f"step-{secrets.token_hex(2)}"
    cluster.apply(name, autoscaling={"maxReplicas": 2, "targets": TARGETS[by]}, model=TINY_BERT, **REPLICA)
    url = cluster.wait_ready(name)["url"]
    # What the start has cost is not load: the autoscaler must have calmed down.
    eventually(lambda: (cluster.status(name).get("scaling") or {}).get("desired") == 1, "it has metrics", seconds=120)
    eventually(lambda: cluster.get("deployment", name)["spec"]["replicas"] == 1, "one replica", seconds=60)
    with cluster.load(url, rate=100, at_once=CLIENTS, body=BODY) as load:
        begun = load.progress()["begun"]
        eventually(lambda: cluster.get("deployment", name)["spec"]["replicas"] == 2, "another", seconds=300)  # noqa: PLR2004
        asked_for = time.time() - begun
        eventually(lambda: cluster.status(name).get("ready") == "2/2", "both serve", seconds=300)
        serving = time.time() - begun
        progress = load.progress()
    cluster("delete", "llmi", name)
    return Step(by, round(asked_for, 1), round(serving, 1), progress["answered"], progress["failed"])


def show(steps: list[Step]) -> str:
    """A table: medians over the rounds, with the extremes."""
    lines = ["| by | asked for after | serves after | refused until then |", "|---|---|---|---|"]
    for by in TARGETS:
        mine = [step for step in steps if step.by == by]
        columns = [[step.asked_for_seconds for step in mine], [step.serving_seconds for step in mine]]
        seconds = [f"{statistics.median(row):.1f} s ({min(row):.1f} to {max(row):.1f})" for row in columns]
        refused, answered = sum(step.refused for step in mine), sum(step.answered for step in mine)
        lines.append(f"| {by} | {' | '.join(seconds)} | {refused} of {refused + answered} |")
    return "\n".join(lines)


def main() -> None:
    """Entry point of ``make bench-scaling``."""
    parser = argparse.ArgumentParser(description="Time from a step of load to another replica.")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    kubectl = kind_cluster.kubectl()
    text = kubectl("-n", deploy.NAMESPACE, "get", deploy.OPERATOR, "-o", "json")
    container = json.loads(text)["spec"]["template"]["spec"]["containers"][0]
    server = next(item["value"] for item in container["env"] if item["name"] == "LLMI_OPERATOR_SERVER_IMAGE")
    cluster = LiveCluster(kubectl, server, f"bench-{secrets.token_hex(3)}")
    kubectl("create", "namespace", cluster.namespace)
    steps: list[Step] = []
    try:
        with adapter(kubectl, container["image"]):
            for _ in range(rounds):
                for by in TARGETS:
                    steps.append(measure(cluster, by))
                    print(json.dumps(asdict(steps[-1])), flush=True)
    finally:
        kubectl("delete", "namespace", cluster.namespace, "--wait=false")
    print(show(steps))


if __name__ == "__main__":
    main()
