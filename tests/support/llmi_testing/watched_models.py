"""Models under load, and a Prometheus that watches them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmi_testing.monitored_models import Monitored, monitored_models
from llmi_testing.monitoring_stack import (
    SCRAPE_SECONDS,
    Stack,
    adapter_target,
    gpu_target,
    model_target,
    operator_target,
    running_stack,
    state_metrics_target,
)


@dataclass(frozen=True)
class Watched:
    """The models and what watches them."""

    models: Monitored
    stack: Stack


@contextmanager
def watched_models(
    folder: Path, *, port: int = 0, rules: str = "", scrape_seconds: int = SCRAPE_SECONDS
) -> Iterator[Watched]:
    """Run everything while the block runs; the rest is as `running_stack` has it."""
    with monitored_models() as models:
        jobs = {
            "llminference": [model_target(name, one) for name, one in models.ports().items()],
            "llminference-operator": [operator_target(models.operator.port)],
            "llminference-metrics-adapter": [adapter_target(models.adapter.port)],
            "kube-state-metrics": [state_metrics_target(models.stand_in.port)],
            "dcgm-exporter": [gpu_target(models.gpus.port)],
        }
        with running_stack(folder, jobs, port=port, rules=rules, scrape_seconds=scrape_seconds) as stack:
            yield Watched(models, stack)
