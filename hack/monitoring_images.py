"""Images of Prometheus and kube-state-metrics under the names of deploy/observability, where they cannot be pulled.

Each carries one program, built from its Go module, and nothing else: Prometheus has no page for people there.
"""

from __future__ import annotations

from pathlib import Path

import gobuild
import kind_cluster
from images import program_image
from loading import load
from steps import Step, run_steps

PROMETHEUS_IMAGE = f"prom/prometheus:v{gobuild.PROMETHEUS_VERSION}"
STATE_METRICS_IMAGE = f"registry.k8s.io/kube-state-metrics/kube-state-metrics:v{gobuild.STATE_METRICS_VERSION}"


def programs() -> tuple[gobuild.Programs, gobuild.Programs]:
    """What is built for them."""
    return gobuild.prometheus(), gobuild.state_metrics()


def make(log: Path) -> None:
    """Make the images, or find them made."""
    program_image(PROMETHEUS_IMAGE, gobuild.prometheus().path("prometheus"), log)
    program_image(STATE_METRICS_IMAGE, gobuild.state_metrics().path("kube-state-metrics"), log)


def make_and_load() -> None:
    """Make them and bring them onto every node that lacks them, with progress."""
    images = [PROMETHEUS_IMAGE, STATE_METRICS_IMAGE]
    onto_nodes = Step("monitoring onto the nodes", lambda _: _load(images), after=("monitoring images",))
    run_steps([Step("monitoring images", make), onto_nodes])


def _load(images: list[str]) -> None:
    load(images, kind_cluster.workers())
