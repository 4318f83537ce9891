"""Who serves metrics: read by name, kept for a while, and left alone for minutes after a refusal."""

import pytest

from llmi_operator.cluster.metric_sources import DENIED_SECONDS, FRESH_SECONDS, MetricSourceReader
from llmi_operator.kinds import API_SERVICE
from llmi_operator.metric_sources import RESOURCE
from llmi_testing.fake_cluster import FakeCluster

NAME = "v1beta1.metrics.k8s.io"


class Counting(FakeCluster):
    def __init__(self):
        super().__init__()
        self.asked = []
        self.seconds = 0.0

    async def get(self, kind, namespace, name):
        self.asked.append(name)
        return await super().get(kind, namespace, name)


@pytest.fixture
def cluster():
    cluster = Counting()
    spec = {"service": {"name": "metrics-server", "namespace": "kube-system"}}
    cluster.put(API_SERVICE, {"metadata": {"name": NAME, "namespace": ""}, "spec": spec})
    return cluster


@pytest.fixture
def reader(cluster):
    return MetricSourceReader(cluster, clock=lambda: cluster.seconds)


async def test_many_questions_cost_one_reading_of_each_name(cluster, reader):
    first = await reader.read()
    assert first[RESOURCE].words == "metrics-server in kube-system"
    assert await reader.read() is first
    assert sorted(set(cluster.asked)) == sorted(cluster.asked)
    cluster.seconds += FRESH_SECONDS
    cluster.asked.clear()
    await reader.read()
    assert NAME in cluster.asked


async def test_a_refusal_is_remembered_for_minutes(cluster, reader):
    await reader.read()
    cluster.refuse("get", API_SERVICE, 403)
    cluster.seconds += FRESH_SECONDS
    assert await reader.read() is None
    cluster.refusals.clear()
    cluster.seconds += DENIED_SECONDS - 1
    assert await reader.read() is None
    cluster.seconds += 1
    assert RESOURCE in await reader.read()


async def test_what_was_read_before_a_failure_stays(cluster, reader):
    first = await reader.read()
    cluster.refuse("get", API_SERVICE, 503)
    cluster.seconds += FRESH_SECONDS
    assert await reader.read() == first
