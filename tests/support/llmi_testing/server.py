"""A real server in this process: real sockets, real HTTP, any model."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from llmi_api.launch import Task
from llmi_server.engine.protocol import LoadedModel
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.listening import open_listener
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry
from llmi_server.tracing.spans import Tracer
from llmi_server.web.server import DrainingServer
from llmi_server.wiring import build_server, build_service
from llmi_testing.engine import fake_model

MODEL_NAME = "test-model"


@dataclass(kw_only=True)
class RunningServer:
    """A server that listens, and handles on its parts."""

    url: str
    port: int
    http: httpx.Client
    server: DrainingServer
    lifecycle: Lifecycle
    telemetry: Telemetry
    settings: ServeSettings
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop

    def send_signal(self) -> None:
        """Do what a SIGTERM does."""
        self.loop.call_soon_threadsafe(self.server.begin_drain)

    def load(self, model: LoadedModel) -> None:
        """Become ready with a model."""
        self.lifecycle.become_ready(
            build_service(model, self.settings, lifecycle=self.lifecycle, telemetry=self.telemetry)
        )


@contextmanager
def running_server(
    model: LoadedModel | None = None,
    *,
    task: Task = Task.EMBEDDINGS,
    load: bool = True,
    tracer: Tracer | None = None,
    **settings: Any,
) -> Iterator[RunningServer]:
    """Run a server on a free local port while the block runs; with a fake model unless one is given."""
    values = {"model_name": MODEL_NAME, "host": "127.0.0.1", "drain_seconds": 5, **settings}
    merged = ServeSettings(task=task, **values).model_copy(update={"port": 0})
    lifecycle, telemetry = Lifecycle(), Telemetry(merged.model_name)
    server = build_server(merged, lifecycle=lifecycle, telemetry=telemetry, tracer=tracer)
    listener = open_listener(merged.host, 0)
    port = listener.getsockname()[1]
    started: list[asyncio.AbstractEventLoop] = []
    running = threading.Event()

    async def serve() -> None:
        started.append(asyncio.get_running_loop())
        running.set()
        await server.serve_until_drained(listener)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    running.wait()
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=20) as http:
        handle = RunningServer(
            url=url,
            port=port,
            http=http,
            server=server,
            lifecycle=lifecycle,
            telemetry=telemetry,
            settings=merged,
            thread=thread,
            loop=started[0],
        )
        if load:
            handle.load(model or fake_model(task))
        try:
            yield handle
        finally:
            lifecycle.abandon()
            server.force_exit = True
            server.stop()
            thread.join(10)
            assert not thread.is_alive()
