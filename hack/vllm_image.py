"""An image of vLLM for processors, which tests serve by: ``python hack/vllm_image.py``, after ``make images``."""

from __future__ import annotations

from pathlib import Path

import kind_cluster
from debian import NUMA_LIBRARY, library
from docker_engine import name_by_contents
from images import SERVER_IMAGE, build_image, fetch_step, packages
from loading import load
from mode import Mode
from steps import Step, run_steps, sh, tell_and_exit

IMAGE = "llminference/vllm-cpu:dev"
LOCK = "requirements/peers/vllm.txt"
INPUTS = ("hack/Dockerfile.vllm-cpu", "requirements/build.txt", LOCK)


def steps(mode: Mode, after: tuple[str, ...] = ()) -> list[Step]:
    """Give the steps that leave it in Docker, and on the nodes of the kind cluster."""
    offline = mode is Mode.BUILD
    fetches = [fetch_step("build"), fetch_step("vllm", LOCK)] if offline else []
    first = (*after, *(step.name for step in fetches))
    image, nodes = "vLLM's image for the CPU", "vLLM's image onto the nodes"
    return [
        *fetches,
        Step(image, lambda log: _build(log, offline=offline), after=first),
        Step(nodes, _load, after=(image,)),
    ]


def tagged() -> str:
    """Its name on the nodes."""
    return name_by_contents(IMAGE)


def _build(log: Path, *, offline: bool) -> None:
    folders = {"build": packages("build").path, "vllm": packages("vllm", LOCK).path} if offline else {}
    if offline:
        folders["numa"] = library(NUMA_LIBRARY, log).parent
    build_image(IMAGE, INPUTS, {"SERVER_IMAGE": SERVER_IMAGE}, folders, log)


def _load(log: Path) -> None:
    sh(["docker", "tag", IMAGE, tagged()], log)
    load([tagged()], kind_cluster.workers())


def main() -> None:
    """Build it and load it."""
    run_steps(steps(kind_cluster.mode_of(kind_cluster.nodes())))


if __name__ == "__main__":
    tell_and_exit(main)
