"""What tiers of tests need made before they run: made in time, or ahead of it while other tiers run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import current
import gobuild
import kind_cluster
import monitoring
import monitoring_images
import search_engine
import triton_program
import vllm_image
from deploy import up
from docker_engine import has_image
from gobuild import Programs
from mode import Mode, choose, registry_answers
from problems import Problem
from steps import LOG_DIR, Step, run_steps, sh, terminate_commands

SECONDS_TO_STOP = 0.5
ROOT = Path(__file__).resolve().parent.parent


def prepare(tier: str) -> None:
    """Make what a tier needs, with progress: a test that waited for it would run into its own time limit.

    Raises:
        Problem: It cannot be made; a ``MissingTool`` or ``NoDocker`` if this machine lacks what it takes.
    """
    if tier in {"observability", "soak"}:
        run_steps([monitoring.step()])
    if tier == "unit" and not triton_program.program().is_built():
        run_steps([triton_program.step()])
    # Where there is no Prometheus to be had, only the tests of alerts are left out, and say so.
    if tier == "apiserver" and monitoring.is_to_be_had():
        run_steps([monitoring.step()])
    if tier == "telemetry":
        run_steps([search_engine.step()])
    if tier == "engines":
        run_steps([Step("vLLM as a process", _install_vllm)])
    offline = tier in {"engines", "cluster"} and up(_mode_asked_for(), workers=None)
    if tier == "engines":
        run_steps(vllm_image.steps(kind_cluster.mode_of(kind_cluster.nodes())))
    for one in programs(tier, offline=offline):
        if not one.artifact.is_built():  # after one another: each build uses all cores
            run_steps([one.step()])


def programs(tier: str, *, offline: bool) -> tuple[Programs, ...]:
    """Give the Go programs that a tier's tests start; offline, those that its cluster cannot pull as images too."""
    return {
        "faults": (gobuild.kubernetes(),),
        "soak": (gobuild.kubernetes(), gobuild.keda(), gobuild.dra_driver()),
        "apiserver": (
            gobuild.kubernetes(),
            gobuild.judge(),
            gobuild.helm(4),
            gobuild.helm(3),
            gobuild.state_metrics(),
        ),
        "telemetry": (
            gobuild.kubernetes(),
            gobuild.collector(),
            gobuild.jaeger(),
            gobuild.prometheus(),
            gobuild.prometheus_operator(),
        ),
        "cluster": (gobuild.helm(4), gobuild.helm(3), *(monitoring_images.programs() if offline else ())),
    }.get(tier, ())


@contextmanager
def made_meanwhile(tiers: Sequence[str]) -> Iterator[None]:
    """Build the Go programs of tiers that come later, on the time that the body leaves of the processor.

    What is not done when it is needed is waited for; what fails is built again then, and told.
    """
    is_over = Event()
    builder = Thread(target=_build_meanwhile, args=(tiers, is_over))
    builder.start()
    try:
        yield
    finally:
        is_over.set()
        while builder.is_alive():
            terminate_commands()
            builder.join(SECONDS_TO_STOP)


def _build_meanwhile(tiers: Sequence[str], is_over: Event) -> None:
    log = LOG_DIR / "built-meanwhile.log"
    for one in _programs_in_order(tiers):
        if is_over.is_set():
            return
        try:
            one.build_meanwhile(log)
        except (Problem, OSError):
            return


def _programs_in_order(tiers: Sequence[str]) -> list[Programs]:
    offline = "cluster" in tiers and _cluster_will_be_offline()
    wanted: list[Programs] = []
    for tier in tiers:
        if tier == "cluster" and offline:
            wanted += gobuild.cluster_programs()
        wanted += programs(tier, offline=offline)
    return wanted


def _cluster_will_be_offline() -> bool:
    # Without Docker no registry can be asked yet.
    if current.is_chosen() or shutil.which("docker") is None:
        return False
    return choose(_mode_asked_for(), is_local=has_image, is_answered=registry_answers).mode is Mode.BUILD


def _mode_asked_for() -> Mode:
    return Mode(os.environ.get("CLUSTER_MODE", "auto"))


def _install_vllm(log: Path) -> None:
    sh([sys.executable, ROOT / "bench" / "peers.py", "vllm"], log, {"PYTHONPATH": str(ROOT / "hack")})
