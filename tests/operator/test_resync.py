import asyncio
import time

import pytest

from llmi_operator import resync as module
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import INFERENCE, SERVICE
from llmi_operator.resync import Resync
from llmi_operator.store import Key, Store
from llmi_operator.workqueue import WorkQueue
from llmi_testing.fake_cluster import FakeCluster
from llmi_testing.inference import make_stored_body

KEY = Key("models", "bert")


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
async def running(cluster, store, monkeypatch):
    """A resync that lists when it is asked to; and its queue."""
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    resync, queue = Resync(cluster, store, ()), WorkQueue(clock=time.monotonic, pause=0)
    queue.open()
    task = asyncio.create_task(resync.run(queue, 600))
    yield resync, queue
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    queue.close()


async def test_what_vanished_unseen_gets_a_pass_when_somebody_asks(cluster, store, running):
    resync, queue = running
    store.put(INFERENCE, cluster.put(INFERENCE, make_stored_body()))
    del cluster.objects[INFERENCE.name, *KEY]
    resync.ask()
    assert await asyncio.wait_for(queue.take(), 60) == KEY
    assert store.get(INFERENCE, KEY) is None


async def test_a_listing_that_failed_is_tried_again(cluster, store, running):
    resync, queue = running
    cluster.put(INFERENCE, make_stored_body())
    cluster.refuse("list", SERVICE, 503)
    resync.ask()
    await asyncio.sleep(0.05)
    cluster.refusals.clear()
    assert await asyncio.wait_for(queue.take(), 60) == KEY


async def test_a_listing_that_is_older_than_what_is_known_is_refused(cluster, store):
    body = cluster.put(INFERENCE, make_stored_body())
    body["metadata"]["resourceVersion"] = "100000"
    store.put(INFERENCE, body)
    with pytest.raises(ClusterError, match="something old answers"):
        await Resync(cluster, store, ()).once()
    assert store.get(INFERENCE, KEY)
