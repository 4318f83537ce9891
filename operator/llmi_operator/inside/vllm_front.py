"""Runs inside vLLM: keys, deadlines and an orderly end around its HTTP routes, and what it failed of.

vLLM loads `Front` as a middleware and `Report` as a handler of its log. The container's preStop hook runs this file as
a program, which returns when nothing is in flight any more: vLLM, told to stop before that, would answer what it holds
with 200 and half a text, and let new requests hang.

Read by whatever Python the image has, beside whatever it has installed: nothing but the standard library. Where the
task is one that KServe's protocol can ask for, `vllm_kserve` lies beside it and needs Pydantic, as vLLM does.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib
import json
import logging
import os
import sys
import time
import types
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/health", "/metrics"})
"""Paths that need no key and are never cut: the kubelet and Prometheus ask them."""
KSERVE = "kserve.json"
"""Says what the model is called and does, for KServe's protocol."""
KSERVE_PATHS = ("/v2/health/", "/v2/models/")
LOOK_SECONDS = 0.1
MARGIN_SECONDS = 2.0
LONGEST_LINE = 700
LARGEST_REPORT = 16 * 1024
UNTOLD = ("See root cause above", "See stack trace", "Dumping input data", "Dumping scheduler")
"""vLLM's own words for what another line tells, and for its state, which is longer than the message may be."""


def _seconds(name: str) -> float:
    return float(os.environ.get(name, "0"))


def _state() -> Path:
    return Path(os.environ.get("LLMI_STATE_DIR", "/tmp/llmi"))  # noqa: S108 - the pod's own volume


class Front:
    """Wraps the whole application."""

    def __init__(self, app: App) -> None:
        self._app = _speaking_kserve(app)
        key_file = os.environ.get("LLMI_API_KEY_FILE")
        self._key_file = Path(key_file) if key_file else None
        self._timeout = _seconds("LLMI_REQUEST_TIMEOUT_SECONDS") or None
        self._tasks: set[asyncio.Future[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._leaving = self._finishing = False
        self._watcher: asyncio.Future[None] | None = None
        state = _state()
        state.mkdir(parents=True, exist_ok=True)
        (state / "leaving").unlink(missing_ok=True)
        self._mark = state / f"serving-{os.getpid()}"
        self._mark.touch()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._watch())
        if scope["type"] not in {"http", "websocket"} or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
        elif not self._is_let_in(scope):
            await _refuse(
                scope, send, 401, "A valid API key is needed: Authorization: Bearer <key>.", "invalid_api_key"
            )
        elif self._finishing:
            await _refuse(scope, send, 503, "The server is shutting down. Try another replica.", "shutting_down")
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        answer = _Answer(send, self)
        task = asyncio.ensure_future(self._app(scope, receive, answer.send))
        self._tasks.add(task)
        self._idle.clear()
        try:
            await asyncio.wait({task}, timeout=self._timeout)
            late = not task.done()
            if late or task.cancelled():
                await self._cut(task, scope, answer, late=late)
                return
            task.result()
        finally:
            task.cancel()
            self._tasks.discard(task)
            if not self._tasks:
                self._idle.set()

    async def _cut(
        self, task: asyncio.Future[None], scope: MutableMapping[str, Any], answer: _Answer, *, late: bool
    ) -> None:
        """Answer in place of an answer that takes too long; one that has begun ends without its end."""
        task.cancel()
        await asyncio.wait({task}, timeout=MARGIN_SECONDS)
        if answer.started:
            return
        if late:
            text = f"The request took longer than the {self._timeout:g} s that it may."
            await _refuse(scope, answer.send, 504, text, "deadline_exceeded")
        else:
            await _refuse(scope, answer.send, 503, "The server shut down meanwhile. Try again.", "shutting_down")

    @property
    def is_leaving(self) -> bool:
        """Whether connections are to be closed after their next answer."""
        return self._leaving

    def _is_let_in(self, scope: MutableMapping[str, Any]) -> bool:
        if self._key_file is None:
            return True
        offered = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, key = (offered[0] if len(offered) == 1 else b"").partition(b" ")
        digest = hashlib.sha256(key.strip()).digest()
        # A file that is gone or empty closes the server: no key is right then.
        try:
            lines = self._key_file.read_bytes().splitlines()
        except OSError:
            return False
        known = [hashlib.sha256(line.strip()).digest() for line in lines if line.strip()]
        matches = [hmac.compare_digest(digest, one) for one in known]
        return scheme.lower() == b"bearer" and any(matches)

    async def _watch(self) -> None:
        """Wait for the word to leave; then let the endpoints forget us, finish what is in flight, and say so."""
        while not (_state() / "leaving").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(LOOK_SECONDS)
        self._leaving = True
        await asyncio.sleep(_seconds("LLMI_PRE_STOP_SECONDS"))
        self._finishing = True
        await self._wait_until_idle(_seconds("LLMI_DRAIN_SECONDS"))
        for task in self._tasks:
            task.cancel()
        await self._wait_until_idle(MARGIN_SECONDS)
        self._mark.unlink(missing_ok=True)

    async def _wait_until_idle(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except asyncio.TimeoutError:  # noqa: UP041 - another class before Python 3.11
            return


def _speaking_kserve(app: App) -> App:
    """Let an application answer in KServe's protocol too, where that lies beside this file."""
    folder = Path(__file__).parent
    if not (folder / KSERVE).exists():
        return app
    package = types.ModuleType("llmi_inside")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    module = importlib.import_module(f"{package.__name__}.vllm_kserve")
    speaking: App = module.KServe(app, **json.loads((folder / KSERVE).read_text(encoding="utf-8")))
    return speaking


class _Answer:
    """Passes an answer on, with the headers that it lacks."""

    def __init__(self, send: Send, front: Front) -> None:
        self._send = send
        self._front = front
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message.get("headers", ()))
            if message["status"] in {429, 503} and not any(name.lower() == b"retry-after" for name, _ in headers):
                headers.append((b"retry-after", b"1"))
            if self._front.is_leaving:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)


async def _refuse(scope: MutableMapping[str, Any], send: Send, status: int, text: str, code: str) -> None:
    """Answer in OpenAI's error shape, or in KServe's where its protocol is spoken."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    kind = "authentication_error" if status == 401 else "server_error"  # noqa: PLR2004 - HTTP's own number
    error: object = {"message": text, "type": kind, "param": None, "code": code}
    if scope["path"] == "/v2" or scope["path"].startswith(KSERVE_PATHS):
        error = text
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # What was not read of the request would be taken for the next one.
    headers.append((b"connection", b"close"))
    if status in {503, 504}:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Report(logging.Handler):
    """Writes what vLLM fails of to the termination message: one line for each error, without its traceback.

    The traceback of the process that gives up last is longer than a termination message can be, and does not tell why.
    """

    def __init__(self) -> None:
        super().__init__()
        sys.excepthook = self._note

    def emit(self, record: logging.LogRecord) -> None:
        """Note an error."""
        error = record.exc_info[1] if record.exc_info else None
        self._write(record.getMessage() + (f" {type(error).__name__}: {error}" if error else ""))

    def _note(self, kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            self._write(f"{kind.__name__}: {error}")
        sys.__excepthook__(kind, error, trace)

    def _write(self, text: str) -> None:
        if any(words in text for words in UNTOLD):
            return
        path = Path(os.environ.get("LLMI_TERMINATION_MESSAGE_PATH", "/dev/termination-log"))
        line = " ".join(text.split())[:LONGEST_LINE] + "\n"
        try:
            full = path.exists() and path.stat().st_size > LARGEST_REPORT
            with path.open("w" if full else "a") as file:
                file.write(line)
        except OSError:
            return  # the log has it too


def leave() -> None:
    """Tell every server process to leave, and wait until none has anything in flight."""
    state = _state()
    state.mkdir(parents=True, exist_ok=True)
    (state / "leaving").touch()
    end = time.monotonic() + _seconds("LLMI_PRE_STOP_SECONDS") + _seconds("LLMI_DRAIN_SECONDS") + 2 * MARGIN_SECONDS
    while _find_serving(state) and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)


def _find_serving(state: Path) -> list[Path]:
    """Those that live: a process that was killed leaves its mark behind."""
    return [mark for mark in state.glob("serving-*") if Path(f"/proc/{mark.name.partition('-')[2]}").exists()]


if __name__ == "__main__":
    leave()
