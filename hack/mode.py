"""Where the cluster's images come from: pulled from a registry, or built from package registries alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

PULLED_NODE_IMAGE = "kindest/node:v1.36.1"
PROBE_SECONDS = 10.0


class Mode(StrEnum):
    """How a cluster gets its images."""

    AUTO = "auto"
    PULL = "pull"
    BUILD = "build"


@dataclass(frozen=True)
class Choice:
    """The mode that was chosen, and the reason to print."""

    mode: Mode
    why: str


def choose(wanted: Mode, *, is_local: Callable[[str], bool], is_answered: Callable[[str], bool]) -> Choice:
    """Choose by the person's word; else pull what is here already or what a registry answers for; else build."""
    if wanted is not Mode.AUTO:
        return Choice(wanted, "as asked for")
    if is_local(PULLED_NODE_IMAGE):
        return Choice(Mode.PULL, f"{PULLED_NODE_IMAGE} is here already")
    if is_answered(PULLED_NODE_IMAGE):
        return Choice(Mode.PULL, f"a registry answers for {PULLED_NODE_IMAGE}")
    return Choice(Mode.BUILD, f"no registry answers for {PULLED_NODE_IMAGE}; package registries are enough")


def registry_answers(image: str) -> bool:
    """Ask the image's registry for its manifest; a few kilobytes, and at most ten seconds."""
    argv = ["docker", "manifest", "inspect", image]
    try:
        return subprocess.run(argv, capture_output=True, check=False, timeout=PROBE_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
