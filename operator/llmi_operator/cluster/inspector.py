"""Looks closer where a store of our own objects is not enough to say why, and only there."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from llmi_api.v1alpha1 import LLMInferenceStatus, ServiceType
from llmi_operator.cluster.capacity import CapacityReader
from llmi_operator.cluster.client import Cluster
from llmi_operator.cluster.metric_sources import MetricSourceReader
from llmi_operator.cluster.prices import PriceReader
from llmi_operator.cluster.pulls import PullReader
from llmi_operator.cluster.readiness import ReadinessReader
from llmi_operator.observed import NodeState, Observed, PodState, Pricing
from llmi_operator.parse import Resource
from llmi_operator.plan.rollout import Room
from llmi_operator.status.attention import has_no_room, wait_for_images
from llmi_operator.status.capacity import find_room, read_needs
from llmi_operator.status.startup import choose_whom_to_ask
from llmi_operator.store import Key

MOST_WAITING = 3
"""So many waiting replicas are looked into at most; the others wait for the same."""


class Inspector:
    """Nodes, others' pods, pods' events, metrics APIs and the replicas themselves, each asked on demand."""

    def __init__(
        self,
        cluster: Cluster,
        notify: Callable[[Key], None],
        remind: Callable[[Key, float], None],
        *,
        clock: Callable[[], float],
        prices_file: str = "",
    ) -> None:
        self._capacity = CapacityReader(cluster, clock=clock)
        self._metric_sources = MetricSourceReader(cluster, clock=clock)
        self._prices = PriceReader(prices_file, clock=clock)
        self._pulls = PullReader(cluster, clock=clock)
        self._readiness = ReadinessReader(notify, remind, clock=clock)

    async def look(self, resource: Resource, observed: Observed, previous: LLMInferenceStatus) -> Observed:
        """Add to what is observed what it takes to judge it."""
        seen = await self._look_at_pods(resource, observed, previous)
        if has_no_room(seen):
            capacity = await self._capacity.read_capacity()
            seen = replace(seen, capacity=capacity, capacity_denied=self._capacity.denied)
        if resource.spec.accelerator is not None and not all(pod.ready for pod in seen.newest_pods):
            seen = replace(seen, nodes=await self._capacity.read_nodes())
        if resource.spec.service.type is ServiceType.NODE_PORT:
            nodes = await self._capacity.read_nodes()
            seen = replace(
                seen, node_addresses=tuple(node.addresses[0] for node in nodes if node.ready and node.addresses)
            )
        if resource.spec.autoscaling is not None:
            seen = replace(seen, metric_sources=await self._metric_sources.read())
        return replace(seen, pricing=await self.look_at_prices())

    async def look_at_prices(self) -> Pricing | None:
        """Prices and nodes; None without a list."""
        if not self._prices.look():
            return None
        if self._prices.prices is None:
            return Pricing(None, fault=self._prices.fault)
        nodes = await self._capacity.read_nodes()
        return Pricing(self._prices.prices, nodes={node.name: node for node in nodes}, denied=self._capacity.denied)

    async def look_at_nodes(self) -> tuple[NodeState, ...]:
        """The nodes; none where they may not or cannot be read."""
        return await self._capacity.read_nodes()

    async def find_room(self, template: Mapping[str, Any], observed: Observed) -> Room:
        """Where a replica more would find room: beside the present ones, or in the place of one."""
        capacity, deployment = await self._capacity.read_capacity(), observed.deployment
        if capacity is None or deployment is None:
            return Room.UNKNOWN
        return find_room(capacity, read_needs(template["spec"]), observed.pods, deployment.wanted)

    def forget(self, key: Key) -> None:
        """Forget a resource that is gone."""
        self._readiness.keep(key, set())

    async def close(self) -> None:
        """Stop asking."""
        await self._readiness.close()

    async def _look_at_pods(self, resource: Resource, observed: Observed, previous: LLMInferenceStatus) -> Observed:
        key = Key(resource.namespace, resource.name)
        self._readiness.keep(key, {pod.uid for pod in observed.pods})
        waiting = {pod.uid for pod in wait_for_images(observed)[:MOST_WAITING]}

        async def look_at(pod: PodState) -> PodState:
            pull = await self._pulls.read(resource.namespace, pod) if pod.uid in waiting else None
            return replace(pod, pull=pull, report=self._readiness.find(key, pod.uid))

        seen = replace(observed, pods=tuple([await look_at(pod) for pod in observed.pods]))
        subject = choose_whom_to_ask(seen, previous)
        if subject is not None:
            self._readiness.ask(key, subject)
        return seen
