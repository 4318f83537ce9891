"""A proxy between the operator and a real API server that carries out a plan of faults and logs every request.

    with FaultProxy(server) as proxy, OperatorProcess(proxy.kubeconfig(account), log) as operator:
        proxy.use(Fault(Match(verbs=("apply",), kinds=("services",)), DropAfter()))

It lives in a thread of the test, speaks plain HTTP to the operator (or TLS with the API server's own certificate), and
TLS to the API server. Tokens are passed on; client certificates cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from llmi_testing.apiserver import ApiServer
from llmi_testing.fault_plan import (
    ALWAYS,
    ON_STREAMS,
    After,
    Answer,
    Call,
    Cut,
    Delay,
    DropAfter,
    DropBefore,
    Fault,
    Hide,
    Hold,
    Match,
    Reverse,
    Silence,
    StaleList,
    read_call,
)

TICK_SECONDS = 0.05
START_SECONDS = 60.0
_PASSED_ON = ("Authorization", "Accept", "Content-Type", "User-Agent")


@dataclass
class Exchange:
    """One request, what was done to it, and when; times are those of ``time.monotonic``.

    Attributes:
        status: What the API server answered; 0 when it was not asked or has not answered.
        told: What the operator was answered; 0 when its connection was broken.
    """

    call: Call
    at: float
    status: int = 0
    told: int = 0
    answered_at: float = 0.0
    action: object = None
    events: list[tuple[float, str, str]] = field(default_factory=list)
    """Of a watch: when, type and name of what was passed on."""


@dataclass(eq=False)
class _Active:
    fault: Fault
    since: float
    seen: int = 0


class FaultProxy:
    """Use it as a context manager; `log` is everything that was asked, oldest first."""

    def __init__(self, server: ApiServer, *, tls: bool = False) -> None:
        self._server = server
        self._tls = tls
        self._active: list[_Active] = []
        self._listings: dict[str, tuple[float, bytes]] = {}
        self._stale: dict[str, bytes] = {}
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._port: Future[int] = Future()
        self.log: list[Exchange] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._port.result(START_SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where the operator finds it."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port.result(10)}"

    def kubeconfig(self, original: Path, path: Path | None = None) -> Path:
        """Copy a kubeconfig so that it leads here."""
        config = json.loads(original.read_text())
        config["clusters"][0]["cluster"]["server"] = self.url
        if not self._tls:
            del config["clusters"][0]["cluster"]["certificate-authority-data"]
        copy = path or original.with_name(f"{original.stem}-by-{self._port.result(10)}.kubeconfig")
        copy.write_text(json.dumps(config))
        return copy

    def use(self, *faults: Fault) -> None:
        """Add faults; the first one that fits a request is carried out."""
        now = time.monotonic()
        self._active = [*self._active, *(_Active(fault, now) for fault in faults)]
        if any(isinstance(fault.action, StaleList) for fault in faults):
            self._stale = {target: data for target, (_, data) in self._listings.items()}

    def stop(self, *faults: Fault) -> None:
        """Take faults away again; all of them without an argument."""
        self._active = [one for one in self._active if faults and not any(one.fault is fault for fault in faults)]

    @contextlib.contextmanager
    def using(self, *faults: Fault) -> Iterator[None]:
        """Add faults for the length of a block."""
        self.use(*faults)
        try:
            yield
        finally:
            self.stop(*faults)

    def partition(self, match: Match | None = None) -> contextlib.AbstractContextManager[None]:
        """No request arrives and every watch breaks, for the length of a block."""
        match = match or Match()
        return self.using(Fault(match, Cut()), Fault(match, DropBefore(), times=ALWAYS))

    def calls(self, match: Match) -> list[Exchange]:
        """Everything so far that fits a pattern."""
        return [one for one in list(self.log) if match.hits(one.call)]

    def writes(self, namespace: str = "") -> list[Exchange]:
        """Writes to resources and children so far that the API server has done."""
        return [
            one
            for one in list(self.log)
            if one.call.concerns_resources and 0 < one.status < 400 and namespace in {"", one.call.namespace}
        ]

    # The rest runs in the proxy's own thread.

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        folder = self._server.folder
        to_server = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        listen = None
        if self._tls:
            listen = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            listen.load_cert_chain(folder / "server.crt", folder / "server.key")
        app = web.Application(client_max_size=64 * 2**20)
        connector = aiohttp.TCPConnector(ssl=to_server, limit=0)
        # Long answers would come packed, and nobody would know.
        plain = {"Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(connector=connector, headers=plain, trust_env=False) as session:
            self._session = session
            app.router.add_route("*", "/{tail:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=listen)
            await site.start()
            self._port.set_result(runner.addresses[0][1])
            await self._stop.wait()
            await runner.cleanup()
        # aiohttp's advice: connections over TLS are closed some turns of the loop after their session.
        await asyncio.sleep(0.25)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        call = read_call(request.method, str(request.rel_url), request.headers, data)
        exchange = Exchange(call, time.monotonic())
        self.log.append(exchange)
        action = exchange.action = self._pick(call)
        if isinstance(action, Delay):
            await asyncio.sleep(action.seconds)
        if isinstance(action, DropBefore):
            return _break(request)
        if isinstance(action, Answer):
            exchange.answered_at, exchange.told = time.monotonic(), action.status
            return _answer(action)
        try:
            if call.verb == "watch":
                return await self._stream(request, exchange)
            return await self._pass_on(request, exchange, data)
        except (aiohttp.ClientError, OSError):
            return _break(request)

    def _pick(self, call: Call) -> object:
        for one in self._active:
            fault = one.fault
            if isinstance(fault.action, ON_STREAMS) or not fault.match.hits(call):
                continue
            one.seen += 1
            if one.seen > fault.skip and (fault.times is None or one.seen <= fault.skip + fault.times):
                return fault.action
        return None

    async def _pass_on(self, request: web.Request, exchange: Exchange, data: bytes) -> web.StreamResponse:
        call, action = exchange.call, exchange.action
        async with self._ask(request, data) as answer:
            body = await answer.read()
        exchange.status, exchange.answered_at = answer.status, time.monotonic()
        if isinstance(action, After):
            await asyncio.get_running_loop().run_in_executor(None, action.do)
        if isinstance(action, DropAfter):
            return _break(request)
        if call.verb == "list" and answer.status == 200:
            if isinstance(action, StaleList):
                body = self._stale.get(call.target, body)
            else:
                self._listings[call.target] = (exchange.at, body)
        exchange.told = answer.status
        return web.Response(status=answer.status, body=body, headers=_answer_headers(answer))

    def _ask(self, request: web.Request, data: bytes) -> Any:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        url = f"{self._server.url}{request.raw_path}"
        return self._session.request(
            request.method, _encoded(url), headers=headers, data=data or None, timeout=timeout, allow_redirects=False
        )

    async def _stream(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        async with self._ask(request, b"") as answer:
            exchange.status = exchange.told = answer.status
            exchange.answered_at = time.monotonic()
            if answer.status != 200:
                return web.Response(status=answer.status, body=await answer.read(), headers=_answer_headers(answer))
            response = web.StreamResponse(headers=_answer_headers(answer))
            await response.prepare(request)
            lines: asyncio.Queue[bytes | None] = asyncio.Queue()
            reader = asyncio.create_task(_read_lines(answer, lines))
            try:
                return await self._relay(request, exchange, response, lines)
            finally:
                reader.cancel()

    async def _relay(
        self, request: web.Request, exchange: Exchange, response: web.StreamResponse, lines: asyncio.Queue[bytes | None]
    ) -> web.StreamResponse:
        opened, waiting = time.monotonic(), list[tuple[float, bytes]]()
        silent = ended = False
        while not ended or waiting or silent:
            now = time.monotonic()
            if self._is_cut(exchange.call, opened, now):
                return _break(request)
            # For good: a connection that lost a part and then goes on does not exist. Not even its end arrives.
            silent = silent or self._is_silent(exchange.call, opened)
            while waiting and waiting[0][0] <= now and not silent:
                await self._send(exchange, response, waiting.pop(0)[1])
            with contextlib.suppress(TimeoutError):
                line = await asyncio.wait_for(lines.get(), TICK_SECONDS)
                if line is None:
                    ended = True
                elif not silent:
                    self._queue(exchange.call, line, waiting)
        return response

    def _queue(self, call: Call, line: bytes, waiting: list[tuple[float, bytes]]) -> None:
        """Decide when a line of a watch goes on; in the order of the list."""
        now, action = time.monotonic(), self._pick_event(call, line)
        if isinstance(action, Hide):
            return
        if isinstance(action, Reverse):
            due = waiting[0][0] if waiting else now + action.seconds
            waiting.insert(0, (due, line))
            return
        last = waiting[-1][0] if waiting else now
        waiting.append((max(last, now + (action.seconds if isinstance(action, Hold) else 0)), line))

    async def _send(self, exchange: Exchange, response: web.StreamResponse, line: bytes) -> None:
        event = json.loads(line)
        name = event["object"].get("metadata", {}).get("name", "")
        exchange.events.append((time.monotonic(), event["type"], name))
        await response.write(line + b"\n")

    def _pick_event(self, call: Call, line: bytes) -> object:
        faults = [one for one in self._active if isinstance(one.fault.action, Hold | Reverse | Hide)]
        if not faults:
            return None
        metadata = json.loads(line)["object"].get("metadata", {})
        about = Call("watch", call.kind, metadata.get("namespace", ""), metadata.get("name", ""), agent=call.agent)
        return next((one.fault.action for one in faults if one.fault.match.hits(about)), None)

    def _is_cut(self, call: Call, opened: float, now: float) -> bool:
        return any(
            isinstance(one.fault.action, Cut)
            and one.fault.match.hits(call)
            and (opened < one.since if one.fault.action.seconds == 0 else now - opened >= one.fault.action.seconds)
            for one in self._active
        )

    def _is_silent(self, call: Call, opened: float) -> bool:
        return any(
            isinstance(one.fault.action, Silence)
            and one.fault.match.hits(call)
            and (one.fault.action.new or opened < one.since)
            for one in self._active
        )


async def _read_lines(answer: aiohttp.ClientResponse, lines: asyncio.Queue[bytes | None]) -> None:
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if line:
                    lines.put_nowait(line)
    except (aiohttp.ClientError, OSError):
        pass
    finally:
        lines.put_nowait(None)


def _break(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _answer(action: Answer) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"a fault of the test: {action.status}",
        "reason": "",
        "code": action.status,
    }
    headers = {"Retry-After": str(action.retry_after)} if action.retry_after is not None else {}
    return web.json_response(body, status=action.status, headers=headers)


def _answer_headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {
        name: answer.headers[name] for name in ("Content-Type", "Retry-After", "Audit-Id") if name in answer.headers
    }


def _encoded(url: str) -> Any:
    return URL(url, encoded=True)
