"""Nodes and everybody's pods: read on demand, kept for a while, and left alone for minutes after a refusal."""

from decimal import Decimal

import pytest

from llmi_operator.cluster.capacity import DENIED_SECONDS, FRESH_SECONDS, NODES_FRESH_SECONDS, CapacityReader
from llmi_operator.kinds import NODE, POD
from llmi_testing.fake_cluster import FakeCluster


class Counting(FakeCluster):
    def __init__(self):
        super().__init__()
        self.lists = []
        self.seconds = 0.0

    async def list(self, kind, namespace=""):
        self.lists.append(kind.name)
        return await super().list(kind, namespace)


@pytest.fixture
def cluster():
    cluster = Counting()
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "allocatable": {"cpu": "4"},
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "fd00::1"},
            {"type": "ExternalIP", "address": "192.0.2.1"},
        ],
    }
    cluster.put(NODE, {"metadata": {"name": "a", "namespace": ""}, "spec": {}, "status": status})
    spec = {"nodeName": "a", "containers": [{"resources": {"requests": {"cpu": "1500m"}}}]}
    cluster.put(POD, {"metadata": {"name": "p", "namespace": "x"}, "spec": spec, "status": {}})
    return cluster


@pytest.fixture
def reader(cluster):
    return CapacityReader(cluster, clock=lambda: cluster.seconds)


async def test_many_questions_at_once_cost_one_reading(cluster, reader):
    capacity = await reader.read_capacity()
    assert await reader.read_capacity() is capacity
    assert cluster.lists == ["Node", "Pod"]
    assert capacity.used == {"a": {"cpu": Decimal("1.5")}}
    cluster.seconds += FRESH_SECONDS
    await reader.read_capacity()
    assert len(cluster.lists) == 4


async def test_nodes_alone_are_kept_for_longer_and_an_address_from_outside_comes_first(cluster, reader):
    (node,) = await reader.read_nodes()
    assert node.addresses == ("192.0.2.1", "10.0.0.1")
    cluster.seconds += NODES_FRESH_SECONDS - 1
    await reader.read_nodes()
    assert cluster.lists == ["Node"]


async def test_a_refusal_is_remembered_for_minutes(cluster, reader):
    cluster.refuse("list", NODE, 403)
    assert await reader.read_capacity() is None
    assert await reader.read_nodes() == ()
    assert reader.denied
    assert cluster.lists == ["Node"]
    cluster.refusals.clear()
    cluster.seconds += DENIED_SECONDS
    assert await reader.read_capacity()
    assert not reader.denied


async def test_an_answer_that_did_not_come_is_no_refusal(cluster, reader):
    cluster.refuse("list", POD, 503)
    assert await reader.read_capacity() is None
    assert not reader.denied
