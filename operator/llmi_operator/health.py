"""The operator's own port: alive, ready, metrics."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from llmi_operator.metrics import REGISTRY

OLDEST_WAIT_SECONDS = 300.0
MISSED_RESYNCS = 3
SILENT_SECONDS = 90.0


class Health:
    """Facts from which liveness and readiness follow."""

    def __init__(self, *, resync_seconds: float) -> None:
        self._resync_seconds = resync_seconds
        self.primed_at: Callable[[], float | None] = lambda: None
        self.oldest_wait: Callable[[], float] = lambda: 0.0
        self.longest_silence: Callable[[], float] = lambda: 0.0

    def find_fault(self) -> str:
        """Why the process should be restarted; empty when it is well."""
        primed = self.primed_at()
        if primed is not None and time.monotonic() - primed > MISSED_RESYNCS * self._resync_seconds + 60:
            return "no complete listing for a long time"
        if self.oldest_wait() > OLDEST_WAIT_SECONDS:
            return "the queue does not move"
        if self.longest_silence() > SILENT_SECONDS:
            return "a watch has ended: the API server answers, and is not asked"
        return ""

    @property
    def ready(self) -> bool:
        """Whether everything has been listed once."""
        return self.primed_at() is not None


async def start_health_server(health: Health, host: str, port: int) -> web.AppRunner:
    """Serve /livez, /readyz and /metrics."""

    async def livez(_: web.Request) -> web.Response:
        fault = health.find_fault()
        return web.Response(status=503 if fault else 200, text=fault or "ok")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=200 if health.ready else 503, text="ok" if health.ready else "not listed yet")

    async def metrics(request: web.Request) -> web.Response:
        encode, media_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": media_type})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
