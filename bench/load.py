"""Closed-loop load: so many clients, each with one request at a time, until a list of texts is answered."""

import asyncio
import http.client
import json
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import aiohttp

_PROBE_SECONDS = 0.02
_OK = 200


class RefusedError(Exception):
    """A server did not answer a request as it should."""


@dataclass(frozen=True)
class Request:
    """What is sent, and how many tokens are computed for it."""

    body: bytes
    tokens: int


@dataclass(frozen=True)
class Answer:
    """How long one answer took, and its first word if it was streamed."""

    tokens: int
    seconds: float
    first_seconds: float


@dataclass(frozen=True)
class Outcome:
    """All answers, how long they took together, and how long probes of health took meanwhile."""

    answers: list[Answer]
    seconds: float
    probe_seconds: list[float]

    @property
    def tokens_per_second(self) -> float:
        """Real tokens only; padding never counts."""
        return sum(answer.tokens for answer in self.answers) / self.seconds


def put_load(address: str, route: str, requests: list[Request], *, clients: int, probe: str | None = None) -> Outcome:
    """Have requests answered by ``clients`` clients, while another asks the path ``probe`` every 20 ms.

    Raises:
        RefusedError: An answer was not a good one.
    """
    if probe is None:
        return asyncio.run(_put_load(address, route, requests, clients=clients))
    # In a process of its own: what the clients have to do when a batch is answered is not the server's delay.
    ours, theirs = multiprocessing.Pipe()
    prober = multiprocessing.get_context("spawn").Process(target=_probe, args=(address, probe, theirs), daemon=True)
    prober.start()
    ours.recv()
    outcome = asyncio.run(_put_load(address, route, requests, clients=clients))
    ours.send("enough")
    found: list[float] | str = ours.recv()
    prober.join()
    if isinstance(found, str):
        raise RefusedError(found)
    return replace(outcome, probe_seconds=found)


async def _put_load(address: str, route: str, requests: list[Request], *, clients: int) -> Outcome:
    timeout = aiohttp.ClientTimeout(total=1800)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(address, timeout=timeout, connector=connector) as session:
        waiting, answers = iter(requests), list[Answer]()
        began = time.monotonic()
        await asyncio.gather(*(_client(session, route, waiting, answers) for _ in range(clients)))
        seconds = time.monotonic() - began
    return Outcome(answers=answers, seconds=seconds, probe_seconds=[])


async def _client(
    session: aiohttp.ClientSession, route: str, waiting: Iterator[Request], answers: list[Answer]
) -> None:
    for request in waiting:
        began = time.monotonic()
        first = await _ask(session, route, request.body)
        now = time.monotonic()
        answers.append(Answer(tokens=request.tokens, seconds=now - began, first_seconds=(first or now) - began))


async def _ask(session: aiohttp.ClientSession, route: str, body: bytes) -> float | None:
    """Ask, and once more on a new connection where the server had just closed the one that was kept open."""
    try:
        return await _ask_once(session, route, body)
    except aiohttp.ClientConnectionError:
        return await _ask_once(session, route, body)


async def _ask_once(session: aiohttp.ClientSession, route: str, body: bytes) -> float | None:
    """Send one request and read its answer; returns when its first text came, if it is streamed."""
    async with session.post(route, data=body, headers={"content-type": "application/json"}) as answer:
        if answer.status != _OK:
            raise RefusedError(f"{route} answered {answer.status}: {(await answer.text())[:300]}")
        if answer.content_type != "text/event-stream":
            await answer.read()
            return None
        first = None
        async for line in answer.content:
            if first is None and _has_text(line):
                first = time.monotonic()
            if line.startswith(b'data: {"error"'):
                raise RefusedError(f"{route} broke off: {line[:300]!r}")
        return first


def _has_text(line: bytes) -> bool:
    """Say whether an event brings text; the first one only says who speaks."""
    if not line.startswith(b"data: {"):
        return False
    choices: Iterable[dict[str, dict[str, str]]] = json.loads(line.removeprefix(b"data: ")).get("choices") or ()
    return any((choice.get("delta") or {}).get("content") for choice in choices)


def _probe(address: str, path: str, pipe: Connection) -> None:
    """Ask a path again and again until something comes through the pipe; send back how long each answer took."""
    seconds: list[float] = []
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    pipe.send("begun")
    while not pipe.poll(_PROBE_SECONDS):
        began = time.monotonic()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.monotonic() - began)
        if answer.status != _OK:
            pipe.send(f"{path} answered {answer.status} under load")
            return
    pipe.send(seconds)
