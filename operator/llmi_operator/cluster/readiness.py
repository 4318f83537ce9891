"""Asks replicas that start how far they are: one GET of /readyz, in the background, with silence for every failure."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from pydantic import ValidationError

from llmi_api.launch import HTTP_PORT
from llmi_api.readiness import ReadinessReport
from llmi_operator.observed import PodState
from llmi_operator.store import Key

logger = logging.getLogger(__name__)
TIMEOUT_SECONDS = 2.0
LARGEST_BODY = 64 * 1024
AT_ONCE = 16
READY_PAUSE_SECONDS = 2.0
STARTING_PAUSE_SECONDS = 4.5
"""A little less than the time between two looks at a replica that starts."""
LONGEST_PAUSE_SECONDS = 30.0
PATIENCE = 3
"""A container that has just begun takes a moment until it answers at all."""
READY_ATTEMPTS = 4
"""A replica that answers requests but tells nothing of itself is left in peace after so many."""


@dataclass
class _Memory:
    """What is known of one resource's replicas.

    Attributes:
        asked_at: When one of them was asked last.
        failures: How often a replica gave no usable answer since it last gave one, by its uid.
    """

    reports: dict[str, ReadinessReport] = field(default_factory=dict)
    asked_at: float = float("-inf")
    failures: dict[str, int] = field(default_factory=dict)


class ReadinessReader:
    """What /readyz of the replicas says.

    A pass never waits for it: it takes what is known, and asks for a new answer, which leads to another pass.

    Args:
        notify: Called with the resource that something new is known about.
        remind: Called with a resource and the seconds after which to look at it again although nothing happens.
        clock: Seconds that only go forward.
    """

    def __init__(
        self, notify: Callable[[Key], None], remind: Callable[[Key, float], None], *, clock: Callable[[], float]
    ) -> None:
        self._notify = notify
        self._remind = remind
        self._clock = clock
        self._memories: dict[Key, _Memory] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    def find(self, key: Key, uid: str) -> ReadinessReport | None:
        """What a replica said last."""
        memory = self._memories.get(key)
        return memory.reports.get(uid) if memory else None

    def ask(self, key: Key, pod: PodState) -> None:
        """Ask a replica in the background, unless one of this resource was asked just now."""
        memory = self._memories.setdefault(key, _Memory())
        failures = memory.failures.get(pod.uid, 0)
        if pod.ready and failures >= READY_ATTEMPTS:
            return
        pause = READY_PAUSE_SECONDS if pod.ready else _compute_pause(failures)
        rest = memory.asked_at + pause - self._clock()
        if rest > 0:
            if pod.ready:
                self._remind(key, rest)
            return
        memory.asked_at = self._clock()
        task = asyncio.create_task(self._ask(key, pod, memory), name=f"ask {pod.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def keep(self, key: Key, uids: set[str]) -> None:
        """Forget all replicas of a resource but these."""
        memory = self._memories.get(key)
        if memory is None:
            return
        if not uids:
            del self._memories[key]
            return
        memory.reports = {uid: report for uid, report in memory.reports.items() if uid in uids}
        memory.failures = {uid: count for uid, count in memory.failures.items() if uid in uids}

    async def close(self) -> None:
        """Stop asking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _ask(self, key: Key, pod: PodState, memory: _Memory) -> None:
        async with self._places:
            try:
                report = await self._fetch(pod.address)
            except (aiohttp.ClientError, OSError, TimeoutError, ValidationError, ValueError) as error:
                memory.failures[pod.uid] = memory.failures.get(pod.uid, 0) + 1
                logger.debug("A replica did not say how far it is", extra={"pod": pod.name, "error": str(error)})
                if pod.ready:
                    self._notify(key)  # so that it is asked once more
                return
        memory.failures.pop(pod.uid, None)
        if memory.reports.get(pod.uid) != report:
            memory.reports[pod.uid] = report
            self._notify(key)

    async def _fetch(self, address: str) -> ReadinessReport:
        host = f"[{address}]" if ":" in address else address
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        async with self._session.get(f"http://{host}:{HTTP_PORT}/readyz", allow_redirects=False) as answer:
            body = b""
            async for chunk in answer.content.iter_chunked(LARGEST_BODY):
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise ValueError(f"more than {LARGEST_BODY} bytes")
        return ReadinessReport.model_validate_json(body)


def _compute_pause(failures: int) -> float:
    doublings = max(failures - PATIENCE, 0)
    return float(min(STARTING_PAUSE_SECONDS * 2**doublings, LONGEST_PAUSE_SECONDS))
