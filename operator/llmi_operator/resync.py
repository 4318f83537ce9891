"""Lists everything now and then: watches can lose a deletion, a listing cannot."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from http import HTTPStatus

from llmi_operator.cluster.client import Cluster
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import INFERENCE, WATCHED, Kind
from llmi_operator.metrics import RESYNC_TIME
from llmi_operator.observed import Refusal
from llmi_operator.store import Key, Store
from llmi_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)
SPREAD = 0.1
RETRY_SECONDS = 5.0
BLIND_SECONDS = 15.0
"""Nothing tells us of a new right, so what may not be listed is tried again this often."""
ALL_NAMESPACES = ("",)


class Resync:
    """Complete listings into the store."""

    def __init__(self, cluster: Cluster, store: Store, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._store = store
        self._namespaces = tuple(namespaces) or ALL_NAMESPACES
        self.finished_at: float | None = None

    async def once(self) -> set[Key]:
        """List everything once.

        Returns:
            The LLMInferences that something changed for.
        """
        changed: set[Key] = set()
        for kind in WATCHED:
            for namespace in self._namespaces:
                changed |= await self._list(kind, namespace)
        self.finished_at = time.monotonic()
        RESYNC_TIME.set_to_current_time()
        self._store.publish_size()
        return changed

    async def _list(self, kind: Kind, namespace: str) -> set[Key]:
        try:
            bodies, version = await self._cluster.list(kind, namespace)
        except ClusterError as error:
            if kind.optional and error.is_absent:
                # Not served here, or not any more: then there are none.
                return self._store.forget(kind)
            if error.status == HTTPStatus.FORBIDDEN and kind != INFERENCE:
                return self._note_blindness(kind, namespace, error)
            raise
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
        """List again and again; what differs gets a pass, and so does every resource, to be sure."""
        while True:
            pause = min(period, BLIND_SECONDS) if self._store.find_blindness() else period
            await asyncio.sleep(pause * (1 + random.uniform(-SPREAD, SPREAD)))  # noqa: S311 - spreads load
            try:
                changed = await self.once()
            except ClusterError as error:
                logger.warning("Could not list everything", extra={"error": str(error)})
                await asyncio.sleep(min(RETRY_SECONDS, period))
                continue
            for key in changed | set(self._store.inferences()):
                queue.add(key)

    async def run_until_first(self) -> None:
        """List everything, trying until it works; nothing may be written before."""
        while True:
            try:
                await self.once()
            except ClusterError as error:
                logger.warning("Could not list everything yet", extra={"error": str(error)})
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
