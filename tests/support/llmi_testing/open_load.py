"""Requests at times of their own, whatever became of those before: what a server sees when too many come.

Needs nothing but asyncio, so that a generator on the same two cores takes as little as it can.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmi_testing.wire import RawAnswer, answers_in


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A request to be sent.

    Attributes:
        at: When, in seconds from the start.
        path: Its route.
        body: Its JSON, or None for a GET.
        tag: Comes back with its outcome.
        leave_after: When the client leaves, in seconds from having sent everything; it stays if None.
    """

    path: str
    at: float = 0.0
    body: Any = None
    tag: Any = None
    leave_after: float | None = None

    def content(self) -> bytes:
        """The request as bytes."""
        body = b"" if self.body is None else json.dumps(self.body).encode()
        method = "GET" if self.body is None else "POST"
        lines = [f"{method} {self.path} HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json",
                 f"Content-Length: {len(body)}"]  # fmt: skip
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a request.

    Attributes:
        planned: The request.
        answer: What came, whole; None if the client left or the connection broke.
        left: Whether the client left before.
        seconds: From having sent everything to the end.
        ended: When that was, on the monotonic clock.
    """

    planned: Planned
    answer: RawAnswer | None
    left: bool
    seconds: float
    ended: float = field(default_factory=time.monotonic)

    @property
    def status(self) -> int:
        """Status of the answer; 0 if there is none."""
        return self.answer.status if self.answer else 0

    @property
    def document(self) -> Any:
        """JSON of the answer."""
        assert self.answer is not None
        return json.loads(self.answer.body)


def run_load(port: int, plan: Sequence[Planned], *, at_once: int = 4000) -> list[Outcome]:
    """Send everything when it is due and return all outcomes; more than ``at_once`` connections are never open."""
    return asyncio.run(send_all(port, plan, at_once=at_once))


async def send_all(port: int, plan: Iterable[Planned], *, at_once: int = 4000) -> list[Outcome]:
    """As `run_load`, on a loop that runs already."""
    began, places = time.monotonic(), asyncio.Semaphore(at_once)

    async def one(planned: Planned) -> Outcome:
        await asyncio.sleep(planned.at - (time.monotonic() - began))
        async with places:
            return await send(port, planned)

    return list(await asyncio.gather(*(one(planned) for planned in plan)))


async def send(port: int, planned: Planned) -> Outcome:
    """Send one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(planned.content())
        await writer.drain()
        sent = time.monotonic()
        received, left = b"", False
        try:
            async with asyncio.timeout(planned.leave_after):
                received = await reader.read(-1)
        except TimeoutError:
            left = True
        answers = [] if left else list(answers_in(received))
        return Outcome(
            planned=planned, answer=answers[-1] if answers else None, left=left, seconds=time.monotonic() - sent
        )
    except ConnectionError:
        return Outcome(planned=planned, answer=None, left=False, seconds=0.0)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
