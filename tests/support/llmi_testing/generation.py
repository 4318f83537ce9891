"""A real server that generates text, engine process and all, in this process."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llmi_api.launch import Task
from llmi_server.errors import StartupError
from llmi_server.generation.service import GenerationService
from llmi_server.wiring import open_generation
from llmi_testing.models import small_causal_model
from llmi_testing.server import RunningServer, running_server


class Deaths(list[StartupError]):
    """What was told about engines that ended by themselves."""


@contextmanager
def generating_server(
    folder: Path | None = None, *, deaths: Deaths | None = None, **settings: Any
) -> Iterator[RunningServer]:
    """Run a server with a small random model while the block runs."""
    values = {"threads": 1, "model_dir": folder or small_causal_model(), **settings}
    with running_server(task=Task.TEXT_GENERATION, load=False, **values) as server:
        told = Deaths() if deaths is None else deaths
        service = open_generation(
            server.settings, lifecycle=server.lifecycle, telemetry=server.telemetry, on_death=told.append
        )
        server.lifecycle.become_ready(service)
        yield server


def engine_process(server: RunningServer) -> int:
    """Return the number of the engine's process."""
    service = server.lifecycle.loaded_service
    assert isinstance(service, GenerationService)
    process = service._engine.process_id
    assert process is not None
    return process


@contextmanager
def held_engine(server: RunningServer) -> Iterator[None]:
    """Let the engine's process make no step while the block runs, so that a test does not hang on its speed."""
    process_id = engine_process(server)
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # a server that stops ends it
            os.kill(process_id, signal.SIGCONT)


def on_loop(server: RunningServer, work: Any) -> Any:
    """Run a coroutine on the server's event loop and return its result."""
    return asyncio.run_coroutine_threadsafe(work, server.loop).result(30)
