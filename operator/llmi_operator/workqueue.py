"""A queue of names: each waits at most once, is worked on at most once at a time, and can come back later."""

import asyncio
import random
from collections.abc import Callable

from llmi_operator.metrics import QUEUE_LENGTH
from llmi_operator.store import Key

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 20.0
"""Short enough that what failed throughout an outage is mended within half a minute of its end."""
JITTER = 0.2


class WorkQueue:
    """Names of LLMInferences that need a pass.

    A name that is added while its pass runs comes back right after it. A name whose last pass ended less than
    ``pause`` ago waits, which turns a storm of events into a few passes. A name that the API server asked to hold back
    is held back, whatever happens to it. Until it is opened, by the replica that has become the leader, it takes
    nothing in.
    """

    def __init__(self, *, clock: Callable[[], float], pause: float = 0.2) -> None:
        self._clock = clock
        self._pause = pause
        self._open = False
        self._waiting: dict[Key, float] = {}
        self._order: asyncio.Queue[Key] = asyncio.Queue()
        self._running: set[Key] = set()
        self._dirty: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._ended: dict[Key, float] = {}
        self._not_before: dict[Key, float] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def open(self) -> None:
        """Begin to take names in."""
        self._open = True

    def add(self, key: Key) -> None:
        """Ask for a pass as soon as possible."""
        if not self._open:
            return
        if key in self._running:
            self._dirty.add(key)
            return
        if key in self._waiting:
            return
        now = self._clock()
        rest = max(self._ended.get(key, now - self._pause) + self._pause, self._not_before.get(key, now)) - now
        if rest > 0:
            self.add_after(key, rest)
            return
        self._cancel_timer(key)
        self._waiting[key] = self._clock()
        self._order.put_nowait(key)
        QUEUE_LENGTH.set(len(self._waiting))

    def add_after(self, key: Key, seconds: float) -> None:
        """Ask for a pass later; the earlier of two such wishes counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(seconds, self._add_due, key)

    def retry(self, key: Key, at_least: float | None = None) -> float:
        """Ask for a pass after a failed one, later each time.

        Returns:
            The delay in seconds.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay: float = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 16), LAST_RETRY_SECONDS)
        delay = max(delay, at_least or 0) * (1 + random.uniform(0, JITTER))  # noqa: S311 - spreads load, no secret
        if at_least:
            self._not_before[key] = self._clock() + at_least
        self.add_after(key, delay)
        return delay

    def succeed(self, key: Key) -> None:
        """Forget earlier failures."""
        self._failures.pop(key, None)
        self._not_before.pop(key, None)

    async def take(self) -> Key:
        """Wait for a name; the caller must call `done` with it."""
        key = await self._order.get()
        del self._waiting[key]
        self._running.add(key)
        QUEUE_LENGTH.set(len(self._waiting))
        return key

    def done(self, key: Key, *, gone: bool = False) -> None:
        """End the pass of a name; ``gone`` drops everything about it."""
        self._running.discard(key)
        if gone:
            self._cancel_timer(key)
            self._failures.pop(key, None)
            self._not_before.pop(key, None)
            self._ended.pop(key, None)
        else:
            self._ended[key] = self._clock()
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)

    def oldest_seconds(self) -> float:
        """How long the first name has been waiting."""
        if not self._waiting:
            return 0.0
        return self._clock() - next(iter(self._waiting.values()))

    def close(self) -> None:
        """Take nothing in any more and forget everything; it can be opened again."""
        self._open = False
        for key in list(self._timers):
            self._cancel_timer(key)
        while not self._order.empty():
            self._order.get_nowait()
        for names in (self._waiting, self._failures, self._not_before, self._ended, self._running, self._dirty):
            names.clear()
        QUEUE_LENGTH.set(0)

    def _add_due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._ended.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer:
            timer.cancel()
