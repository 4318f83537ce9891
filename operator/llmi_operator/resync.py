"""Lists everything now and then: watches can lose a deletion, a listing cannot."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence

from llmi_operator.cluster.client import Cluster
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import WATCHED, Kind
from llmi_operator.metrics import RESYNC_TIME
from llmi_operator.store import Key, Store
from llmi_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)
SPREAD = 0.1
RETRY_SECONDS = 5.0
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
            raise
        return self._store.replace(kind, namespace, bodies, version)

    async def run(self, queue: WorkQueue, period: float) -> None:
        """List again and again; what differs gets a pass, and so does every resource, to be sure."""
        while True:
            await asyncio.sleep(period * (1 + random.uniform(-SPREAD, SPREAD)))  # noqa: S311 - spreads load
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
