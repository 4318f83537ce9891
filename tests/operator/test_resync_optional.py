"""Complete listings, against an API server in memory."""

import pytest

from llmi_operator.errors import ClusterError
from llmi_operator.kinds import POD_MONITOR, SERVICE
from llmi_operator.resync import Resync
from llmi_testing.world import KEY, World

MONITORED = {"observability": {"metrics": {"podMonitor": True}}}


@pytest.fixture
async def world():
    world = World()
    world.write(**MONITORED)
    await world.settle()
    return world


async def test_an_optional_kind_that_is_not_served_any_more_counts_as_empty(world):
    assert world.store.get(POD_MONITOR, KEY)
    world.cluster.refuse("list", POD_MONITOR, 404)
    assert KEY in await Resync(world.cluster, world.store, ()).once()
    assert world.store.get(POD_MONITOR, KEY) is None
    assert world.store.get(SERVICE, KEY)


@pytest.mark.parametrize(("kind", "status"), [(POD_MONITOR, 503), (SERVICE, 404)])
async def test_any_other_failure_is_no_answer(world, kind, status):
    world.cluster.refuse("list", kind, status)
    with pytest.raises(ClusterError):
        await Resync(world.cluster, world.store, ()).once()
    assert world.store.get(kind, KEY)
