"""Reads nodes and the pods on them, where an optional role allows it: on demand, seldom, and never again too soon."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus

from llmi_operator.cluster.client import Cluster
from llmi_operator.cluster.read import read_node
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import NODE, PLACED_POD
from llmi_operator.observed import Capacity, NodeState
from llmi_operator.status.capacity import sum_requests

logger = logging.getLogger(__name__)
FRESH_SECONDS = 5.0
"""Many replicas that find no room at once cost one reading."""
NODES_FRESH_SECONDS = 60.0
DENIED_SECONDS = 300.0
"""Nothing tells us of a new right, so it is tried again this often."""


class CapacityReader:
    """The nodes of the cluster, and what is used of them; shared by all resources."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lock = asyncio.Lock()
        self._denied_until = 0.0
        self._nodes: tuple[NodeState, ...] = ()
        self._nodes_at: float | None = None
        self._capacity: Capacity | None = None
        self._capacity_at: float | None = None

    @property
    def denied(self) -> bool:
        """Whether the API server refused lately."""
        return self._clock() < self._denied_until

    async def read_nodes(self) -> tuple[NodeState, ...]:
        """All nodes; none when they may not or cannot be read."""
        async with self._lock:
            if not self._is_fresh(self._nodes_at, NODES_FRESH_SECONDS) and not self.denied:
                try:
                    await self._refresh_nodes()
                except ClusterError as error:
                    self._note(error)
            return () if self.denied else self._nodes

    async def read_capacity(self) -> Capacity | None:
        """All nodes and what is used of them; None when they may not or cannot be read."""
        async with self._lock:
            if self.denied:
                return None
            if not self._is_fresh(self._capacity_at, FRESH_SECONDS):
                try:
                    await self._refresh_nodes()
                    pods, _ = await self._cluster.list(PLACED_POD)
                except ClusterError as error:
                    self._note(error)
                    return None
                self._capacity = Capacity(self._nodes, sum_requests(pods))
                self._capacity_at = self._clock()
            return self._capacity

    async def _refresh_nodes(self) -> None:
        bodies, _ = await self._cluster.list(NODE)
        self._nodes = tuple(sorted(map(read_node, bodies), key=lambda node: node.name))
        self._nodes_at = self._clock()

    def _is_fresh(self, at: float | None, seconds: float) -> bool:
        return at is not None and self._clock() - at < seconds

    def _note(self, error: ClusterError) -> None:
        if error.status == HTTPStatus.FORBIDDEN:
            self._denied_until = self._clock() + DENIED_SECONDS
            logger.info("May not read nodes and pods of the cluster, so that sentences about room stay coarse")
        else:
            logger.info("Could not read the nodes", extra={"error": str(error)})
