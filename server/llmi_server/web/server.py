"""Running the application: one listener, our own signals, a drain that answers what was accepted."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time

import uvicorn

from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.listening import BACKLOG
from llmi_server.logs import facts
from llmi_server.settings import ServeSettings
from llmi_server.web.gate import Gate
from llmi_server.web.http_protocol import BoundedH11Protocol

_LINGER_SECONDS = 3.0
"""How long the listener stays open while draining, so that late connections hear 503 rather than a reset."""

_FORCED_EXIT_SECONDS = 1.5
_FORCED_EXIT_STATUS = 1
_TICK_SECONDS = 0.05
_KEEP_ALIVE_SECONDS = 75


class DrainingServer(uvicorn.Server):
    """uvicorn, except for what happens on SIGTERM.

    First signal: readiness turns false, new requests get 503 and ``Connection: close``, accepted ones are answered,
    for at most ``drain_seconds``; then the process ends. Second signal: it ends at once.
    """

    def __init__(self, app: Gate, lifecycle: Lifecycle, settings: ServeSettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=BoundedH11Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=2,
                backlog=BACKLOG,
            )
        )
        self._gate = app
        self._lifecycle = lifecycle
        self._drain_seconds = settings.drain_seconds
        self._signals = 0
        self._draining: asyncio.Task[None] | None = None

    async def serve_until_drained(self, listener: socket.socket) -> None:
        """Serve on an open listener until a signal has been handled, or `stop` was called."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.begin_drain)
        host, port = listener.getsockname()[:2]
        _log().info("Server listening", extra=facts(host=host, port=port))
        await self._serve([listener])

    def begin_drain(self) -> None:
        """Handle a signal: the first drains, the second ends at once. Must run on the event loop."""
        self._signals += 1
        if self._signals > 1:
            _log().warning("Second signal, exiting at once")
            self._lifecycle.abandon()
            self.force_exit = self.should_exit = True
            threading.Timer(_FORCED_EXIT_SECONDS, os._exit, [_FORCED_EXIT_STATUS]).start()
            return
        self._lifecycle.start_draining()
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    def stop(self) -> None:
        """End without draining. May be called from any thread."""
        self.should_exit = True

    async def _drain(self) -> None:
        began = time.monotonic()
        _log().info("Draining", extra=facts(in_flight=self._gate.in_flight, seconds=self._drain_seconds))
        linger = min(_LINGER_SECONDS, self._drain_seconds) if self._lifecycle.loaded_service else 0.0
        while (age := time.monotonic() - began) < self._drain_seconds:
            if age >= linger and not self._gate.in_flight:
                break
            await asyncio.sleep(_TICK_SECONDS)
        _log().info("Drained", extra=facts(unanswered=self._gate.in_flight, seconds=round(time.monotonic() - began, 2)))
        self._lifecycle.abandon()
        self.should_exit = True


def _log() -> logging.Logger:
    return logging.getLogger("llmi_server.server")
