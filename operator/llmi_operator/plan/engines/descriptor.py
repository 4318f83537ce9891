"""What an engine is: data from which a container is made, and by which its pods are understood."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from llmi_api.launch import HTTP_PORT, EngineName
from llmi_api.v1alpha1 import Reason
from llmi_operator.parse import Resource
from llmi_operator.plan import timing
from llmi_operator.plan.accelerator import Hardware
from llmi_operator.settings import ServerDefaults

Json = dict[str, Any]
FILES_DIR = PurePosixPath("/etc/llmi/engine")


@dataclass(frozen=True)
class Probes:
    """Paths that the kubelet asks, at the port that serves."""

    startup: str
    readiness: str
    liveness: str


@dataclass(frozen=True)
class Metrics:
    """Names in Prometheus' text; the amounts of all labels are added up.

    Attributes:
        running: Requests that the engine has begun.
        waiting: Requests that wait for it.
        cache_use: How full the memory for keys and values is, from 0 to 1.
    """

    running: str
    waiting: str
    cache_use: str | None = None


@dataclass(frozen=True)
class Symptom:
    """A known failure, by what the engine wrote last.

    Attributes:
        words: Pattern of what it wrote.
        fact: What is wrong; may name groups of the pattern.
        step: What to do.
    """

    words: re.Pattern[str]
    reason: Reason
    fact: str
    step: str


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine. Every engine serves HTTP at the same port, so that nothing around it changes with it.

    Attributes:
        title: What people call it.
        image_settings: For each hardware, the operator's setting that names the image.
        command: Program; without it, the image's entry point.
        arguments: Its arguments.
        environment: Its variables; those of ``spec.engine.env`` cannot replace them.
        metrics_port: Where it tells its metrics.
        pre_stop: What happens before it is told to stop.
        shared_memory: Size of ``/dev/shm``; None leaves the container runtime's.
        scratch_size: Most that it may write to ``/tmp``.
        files: What it reads from `FILES_DIR`, by name. Pods that run keep what they have read.
        symptoms: Its known failures; the first that matches is told.
    """

    name: EngineName
    title: str
    image_settings: Mapping[Hardware, str]
    arguments: Callable[[Resource, ServerDefaults], list[str]]
    environment: Callable[[Resource], dict[str, str]]
    probes: Probes
    metrics: Metrics | None
    command: tuple[str, ...] = ()
    metrics_port: int = HTTP_PORT
    pre_stop: Callable[[Resource], Json] = lambda _: {"sleep": {"seconds": timing.PRE_STOP_SECONDS}}
    shared_memory: Callable[[Resource], str | None] = lambda _: None
    scratch_size: str = "1Gi"
    files: Callable[[Resource], dict[str, str]] = lambda _: {}
    symptoms: tuple[Symptom, ...] = ()
