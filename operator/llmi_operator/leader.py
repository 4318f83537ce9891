"""Leadership by a Lease: at most one replica writes.

The holder renews; when it could not for ``renew_deadline`` it stops writing, well before ``duration`` ends and others
take over, and queues up for the lease again. Others judge the lease by when they themselves saw it change, so clocks
need not agree.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmi_operator.cluster.client import Cluster
from llmi_operator.errors import ClusterError, LeadershipLostError
from llmi_operator.kinds import LEASE
from llmi_operator.metrics import LEADER

logger = logging.getLogger(__name__)
Record = tuple[str, str, int]


@dataclass(frozen=True)
class LeaseTerms:
    """Where the lease is and how long its times are, in seconds."""

    namespace: str
    name: str
    identity: str
    duration: int
    renew_deadline: float
    retry: float


class Leader:
    """One replica's view of the lease."""

    def __init__(
        self, cluster: Cluster, terms: LeaseTerms, *, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self._cluster = cluster
        self._terms = terms
        self._clock = clock
        self._now = now
        self._lease: dict[str, Any] | None = None
        self._seen: Record | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None
        self._pause = terms.retry

    @property
    def may_write(self) -> bool:
        """Whether this replica is certain that no other one is writing."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._terms.renew_deadline

    async def acquire(self) -> None:
        """Wait until this replica is the leader."""
        while not await self._try():  # noqa: ASYNC110 - what is awaited is another process
            await asyncio.sleep(self._pause)
        LEADER.set(1)
        logger.info("Became leader", extra={"identity": self._terms.identity})

    async def keep(self) -> None:
        """Renew for ever.

        Raises:
            LeadershipLostError: The lease is another's, or could not be renewed in time.
        """
        while self._renewed_at is not None and self.may_write:
            left = self._renewed_at + self._terms.renew_deadline - self._clock()
            # Not one moment longer than the deadline, whatever the request is doing.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await asyncio.sleep(self._pause)
                    await self._try()
        self._renewed_at = None
        LEADER.set(0)
        raise LeadershipLostError("The lease could not be renewed in time")

    async def release(self) -> None:
        """Let the next replica take over at once."""
        held, self._renewed_at = self._renewed_at is not None, None
        LEADER.set(0)
        if not held or self._lease is None:
            return
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._cluster.replace_lease({**self._lease, "spec": spec})
        except ClusterError as error:
            logger.warning("Could not release the lease", extra={"error": str(error)})

    async def _try(self) -> bool:
        """Get or renew the lease once; whether that succeeded."""
        asked_at, self._pause = self._clock(), self._terms.retry
        try:
            async with asyncio.timeout(self._terms.renew_deadline / 2):
                self._lease = await self._take(asked_at)
        except (ClusterError, TimeoutError) as error:
            logger.warning("Could not get or renew the lease", extra={"error": str(error) or "timeout"})
            if isinstance(error, ClusterError):
                self._pause = max(self._pause, error.retry_after or 0)
            return False
        if self._lease is None:
            self._renewed_at = None
            return False
        # Counted from before the request: the server may have stored it that early.
        self._renewed_at = asked_at
        return True

    async def _take(self, asked_at: float) -> dict[str, Any] | None:
        terms = self._terms
        lease = await self._cluster.get(LEASE, terms.namespace, terms.name)
        if lease is None:
            return await self._cluster.create_lease(self._make_lease())
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        record = (holder, spec.get("renewTime") or "", spec.get("leaseTransitions") or 0)
        if record != self._seen:
            self._seen, self._seen_at = record, asked_at
        valid_until = self._seen_at + float(spec.get("leaseDurationSeconds") or 0)
        if holder not in {"", terms.identity} and asked_at < valid_until:
            return None
        renewed = self._make_lease()
        renewed["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
        if holder == terms.identity:
            renewed["spec"]["acquireTime"] = spec.get("acquireTime")
        renewed["spec"]["leaseTransitions"] = record[2] + (holder != terms.identity)
        return await self._cluster.replace_lease(renewed)

    def _make_lease(self) -> dict[str, Any]:
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"namespace": self._terms.namespace, "name": self._terms.name},
            "spec": {
                "holderIdentity": self._terms.identity,
                "leaseDurationSeconds": self._terms.duration,
                "acquireTime": stamp,
                "renewTime": stamp,
                "leaseTransitions": 0,
            },
        }
