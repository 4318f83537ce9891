"""Lists everything now and then, and whenever a watch may have lost something: a listing loses nothing."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from http import HTTPStatus

from llmi_operator.cluster.client import Cluster
from llmi_operator.errors import STALE, ClusterError
from llmi_operator.kinds import INFERENCE, WATCHED, Kind
from llmi_operator.metrics import RESYNC_TIME
from llmi_operator.observed import Refusal
from llmi_operator.store import Key, Store, to_number
from llmi_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)
SPREAD = 0.1
RETRY_SECONDS = 5.0
BLIND_SECONDS = 15.0
"""Nothing tells us of a new right, so what may not be listed is tried again this often."""
SETTLE_SECONDS = 1.0
"""When one watch was interrupted the others follow; one listing serves them all."""
ALL_NAMESPACES = ("",)


class Resync:
    """Complete listings into the store."""

    def __init__(self, cluster: Cluster, store: Store, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._store = store
        self._namespaces = tuple(namespaces) or ALL_NAMESPACES
        self._asked = asyncio.Event()
        self._changed: set[Key] = set()
        self.finished_at: float | None = None

    def ask(self) -> None:
        """Ask for a listing soon: something may have been missed."""
        self._asked.set()

    async def once(self) -> set[Key]:
        """List everything once.

        Returns:
            The LLMInferences that something changed for, in this listing or in one before it that broke off.
        """
        for kind in WATCHED:
            for namespace in self._namespaces:
                self._changed |= await self._list(kind, namespace)
        self.finished_at = time.monotonic()
        RESYNC_TIME.set_to_current_time()
        self._store.publish_size()
        changed, self._changed = self._changed, set()
        return changed

    async def _list(self, kind: Kind, namespace: str) -> set[Key]:
        known = self._store.newest(kind)
        try:
            bodies, version = await self._cluster.list(kind, namespace)
        except ClusterError as error:
            if kind.optional and error.is_absent:
                # Not served here, or not any more: then there are none.
                return self._store.forget(kind)
            if error.status == HTTPStatus.FORBIDDEN and kind != INFERENCE:
                return self._note_blindness(kind, namespace, error)
            raise
        if to_number(version) < known:
            raise _make_stale_error(kind, namespace, version, known)
        seeing = self._store.set_blindness(kind, namespace, None)
        return self._store.replace(kind, namespace, bodies, version) | self._affected(namespace, news=seeing)

    def _note_blindness(self, kind: Kind, namespace: str, error: ClusterError) -> set[Key]:
        """What may not be listed is told to those it concerns; the rest goes on."""
        refusal = Refusal(kind=kind.name, name="", verb="list", status=error.status, message=error.message)
        news = self._store.set_blindness(kind, namespace, refusal)
        if news:
            logger.warning("May not list a kind", extra={"kind": kind.name, "error": error.message})
        return self._affected(namespace, news=news)

    def _affected(self, namespace: str, *, news: bool) -> set[Key]:
        return {key for key in self._store.inferences() if namespace in {"", key.namespace}} if news else set()

    async def run(self, queue: WorkQueue, period: float) -> None:
        """List again and again; what differs gets a pass, and every now and then every resource, to be sure."""
        while True:
            pause = min(period, BLIND_SECONDS) if self._store.find_blindness() else period
            asked = await self._wait(pause * (1 + random.uniform(-SPREAD, SPREAD)))  # noqa: S311 - spreads load
            try:
                changed = await self.once()
            except ClusterError as error:
                logger.warning("Could not list everything", extra={"error": str(error)})
                await asyncio.sleep(min(max(RETRY_SECONDS, error.retry_after or 0), period))
                self.ask()
                continue
            for key in changed if asked else changed | set(self._store.inferences()):
                queue.add(key)

    async def run_until_first(self) -> None:
        """List everything, trying until it works; nothing may be written before."""
        while True:
            try:
                await self.once()
            except ClusterError as error:
                logger.warning("Could not list everything yet", extra={"error": str(error)})
                await asyncio.sleep(max(RETRY_SECONDS, error.retry_after or 0))
            else:
                return

    async def _wait(self, seconds: float) -> bool:
        """Wait for the next listing; whether somebody asked for it."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        await asyncio.sleep(SETTLE_SECONDS)
        self._asked.clear()
        return True


def _make_stale_error(kind: Kind, namespace: str, version: str, known: int) -> ClusterError:
    return ClusterError(
        verb="list",
        kind=kind.name,
        namespace=namespace,
        name="",
        status=0,
        reason=STALE,
        message=f"the listing is of version {version}, and version {known} has been seen: something old answers",
    )
