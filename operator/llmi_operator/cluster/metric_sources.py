"""Reads who serves autoscalers with numbers, where an optional role allows it: seldom, and shared by all resources."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus

from llmi_operator.cluster.client import Cluster
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import API_SERVICE
from llmi_operator.metric_sources import REGISTRATIONS, MetricSources, read_metric_sources

logger = logging.getLogger(__name__)
FRESH_SECONDS = 30.0
DENIED_SECONDS = 300.0
"""Nothing tells us of a new right, so it is tried again this often."""


class MetricSourceReader:
    """The programs behind the metrics APIs."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lock = asyncio.Lock()
        self._stale_at = float("-inf")
        self._sources: MetricSources | None = None

    async def read(self) -> MetricSources | None:
        """Who serves what; None when that may not be read, or was never read yet."""
        async with self._lock:
            if self._clock() >= self._stale_at:
                self._stale_at = self._clock() + FRESH_SECONDS
                await self._refresh()
            return self._sources

    async def _refresh(self) -> None:
        names = [name for group in REGISTRATIONS.values() for name in group]
        try:
            self._sources = read_metric_sources(
                {name: await self._cluster.get(API_SERVICE, "", name) for name in names}
            )
        except ClusterError as error:
            if error.status == HTTPStatus.FORBIDDEN:
                self._sources, self._stale_at = None, self._clock() + DENIED_SECONDS
                logger.info("May not read who serves metrics, so that sentences about it stay coarse")
            else:
                # What was read before is still the best that is known.
                logger.info("Could not read who serves metrics", extra={"error": str(error)})
