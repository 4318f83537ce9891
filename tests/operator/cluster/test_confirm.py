from datetime import UTC, datetime

import pytest

from llmi_operator.errors import ClusterError
from llmi_operator.kinds import AUTOSCALER, DEPLOYMENT, INFERENCE, SERVICE
from llmi_operator.reconcile import Parts, one_pass
from llmi_operator.store import Key, Store
from llmi_testing.fake_cluster import FakeCluster
from llmi_testing.inference import DEFAULTS, make_stored_body

KEY = Key("models", "bert")


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def run(cluster, store):
    parts = Parts(cluster, store, DEFAULTS, lambda: datetime(2026, 5, 1, tzinfo=UTC))

    async def run():
        return await one_pass(parts, KEY)

    return run


def put(cluster, **words):
    return cluster.put(INFERENCE, make_stored_body(**words))


async def test_an_old_spec_is_not_carried_out(cluster, store, run):
    store.put(INFERENCE, put(cluster, replicas=1))
    put(cluster, replicas=3, generation=2)
    outcome = await run()
    assert outcome.error.reason == "Stale"
    assert [one for one in cluster.writes() if one[0] != "status"] == []
    await run()
    assert cluster.find(DEPLOYMENT)["spec"]["replicas"] == 3


async def test_a_resource_that_is_gone_gets_no_children(cluster, store, run):
    store.put(INFERENCE, put(cluster))
    del cluster.objects[INFERENCE.name, *KEY]
    assert (await run()).error.reason == "Stale"
    assert (await run()).gone
    assert cluster.writes() == []


async def test_a_resource_that_was_made_anew_gets_its_own_children(cluster, store, run):
    store.put(INFERENCE, put(cluster))
    put(cluster, uid="another")
    assert (await run()).error.reason == "Stale"
    await run()
    assert cluster.find(SERVICE)["metadata"]["ownerReferences"][0]["uid"] == "another"


async def test_a_child_that_changed_meanwhile_is_looked_at_before_it_is_written(cluster, store, run):
    store.put(INFERENCE, put(cluster, replicas=1))
    await run()
    store.put(INFERENCE, put(cluster, replicas=2, generation=2))
    by_another = cluster.find(DEPLOYMENT)
    cluster.put(DEPLOYMENT, {**by_another, "metadata": {**by_another["metadata"], "labels": {}}})
    assert (await run()).error.is_conflict
    assert cluster.find(DEPLOYMENT)["spec"]["replicas"] == 1
    assert (await run()).error is None
    assert cluster.find(DEPLOYMENT)["spec"]["replicas"] == 2


async def test_a_child_that_changed_meanwhile_is_looked_at_again_before_it_is_deleted(cluster, store, run):
    store.put(INFERENCE, put(cluster, replicas=None, autoscaling={"maxReplicas": 3}))
    await run()
    store.put(INFERENCE, put(cluster, generation=2))
    cluster.put(AUTOSCALER, cluster.find(AUTOSCALER))
    assert (await run()).error is None
    assert [verb for verb, kind, _ in cluster.writes() if kind == AUTOSCALER.name] == ["apply", "delete", "delete"]
    assert (AUTOSCALER.name, *KEY) not in cluster.objects


async def test_nothing_is_asked_where_nothing_is_to_be_written(cluster, store, run):
    store.put(INFERENCE, put(cluster))
    await run()
    store.put(INFERENCE, cluster.find(INFERENCE))
    cluster.refuse("get", INFERENCE, 500)
    assert (await run()).error is None


async def test_a_status_is_not_written_over_a_newer_version(cluster, store, run):
    store.put(INFERENCE, put(cluster))
    await run()
    store.put(INFERENCE, cluster.find(INFERENCE))
    store.put(
        DEPLOYMENT,
        {
            **cluster.find(DEPLOYMENT),
            "status": {"replicas": 1},
            "metadata": {**cluster.find(DEPLOYMENT)["metadata"], "resourceVersion": "9999"},
        },
    )
    newer = cluster.find(INFERENCE)
    cluster.put(INFERENCE, {**newer, "status": {"why": "written by the next leader"}})
    assert (await run()).error.is_conflict
    assert cluster.find(INFERENCE)["status"] == {"why": "written by the next leader"}
    # Looked at again, it is judged anew.
    assert (await run()).error is None


async def test_a_status_that_was_judged_from_an_old_one_is_not_written(cluster, store, run):
    old = put(cluster)
    store.put(INFERENCE, old)
    newer = cluster.find(INFERENCE)
    # The resource is read anew because children are missing; what it said last is known only from then on.
    cluster.put(INFERENCE, {**newer, "status": {"why": "written by the leader before"}})
    assert (await run()).error.is_conflict
    assert cluster.find(INFERENCE)["status"] == {"why": "written by the leader before"}
    assert (await run()).error is None
    assert cluster.find(INFERENCE)["status"]["conditions"]


async def test_an_api_server_that_does_not_answer_is_asked_once_a_pass(cluster, store, run):
    store.put(INFERENCE, put(cluster))
    asked = []

    async def get(kind, *_):
        asked.append(kind.name)
        if kind == INFERENCE:
            raise ClusterError(
                verb="get", kind=kind.name, namespace="", name="", status=429, reason="", message="", retry_after=3
            )

    cluster.get = get
    assert (await run()).error.retry_after == 3
    assert asked.count(INFERENCE.name) == 1
