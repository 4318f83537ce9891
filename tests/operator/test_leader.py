import asyncio
import time
from datetime import UTC, datetime

import pytest

from llmi_operator.errors import ClusterError, LeadershipLostError
from llmi_operator.kinds import LEASE
from llmi_operator.leader import Leader, LeaseTerms
from llmi_testing.fake_cluster import FakeCluster


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def cluster():
    return FakeCluster()


def make_leader(cluster, identity, clock=None):
    terms = LeaseTerms("system", "lease", identity, duration=15, renew_deadline=10, retry=0.001)
    return Leader(cluster, terms, clock=clock or Clock(), now=lambda: datetime(2026, 5, 1, tzinfo=UTC))


def lease(cluster):
    return cluster.find(LEASE, "lease", "system")["spec"]


async def test_the_first_one_gets_the_lease(cluster):
    one = make_leader(cluster, "one")
    assert not one.may_write
    await one.acquire()
    assert one.may_write
    assert lease(cluster)["holderIdentity"] == "one"


async def test_the_second_one_does_not_until_the_lease_has_not_changed_for_its_duration(cluster):
    await make_leader(cluster, "one").acquire()
    clock = Clock()
    two = make_leader(cluster, "two", clock)
    assert not await two._try()
    clock.now += 14
    assert not await two._try()
    clock.now += 2
    assert await two._try()
    assert lease(cluster)["leaseTransitions"] == 1


async def test_a_renewal_starts_the_waiting_anew(cluster):
    one = make_leader(cluster, "one")
    await one.acquire()
    clock = Clock()
    two = make_leader(cluster, "two", clock)
    assert not await two._try()
    clock.now += 14
    one._now = lambda: datetime(2026, 5, 2, tzinfo=UTC)
    assert await one._try()
    assert not await two._try()
    clock.now += 14
    assert not await two._try()


async def test_a_released_lease_is_free_at_once(cluster):
    one = make_leader(cluster, "one")
    await one.acquire()
    await one.release()
    assert not one.may_write
    assert await make_leader(cluster, "two")._try()


async def test_a_leader_without_renewal_may_not_write_well_before_others_may(cluster):
    clock = Clock()
    one = make_leader(cluster, "one", clock)
    await one.acquire()
    cluster.refuse("get", LEASE, 503)
    clock.now += 9
    assert not await one._try()
    assert one.may_write
    clock.now += 2
    assert not one.may_write
    with pytest.raises(LeadershipLostError):
        await one.keep()


async def test_after_it_was_lost_the_lease_can_be_had_again(cluster):
    clock = Clock()
    one = make_leader(cluster, "one", clock)
    await one.acquire()
    clock.now += 11
    with pytest.raises(LeadershipLostError):
        await one.keep()
    await one.acquire()
    assert one.may_write


async def test_a_request_that_hangs_does_not_prolong_the_leadership(cluster):
    terms = LeaseTerms("system", "lease", "one", duration=15, renew_deadline=0.2, retry=0.01)
    one = Leader(cluster, terms, clock=time.monotonic, now=lambda: datetime(2026, 5, 1, tzinfo=UTC))
    await one.acquire()
    cluster.get = lambda *_: asyncio.sleep(60)
    began = time.monotonic()
    with pytest.raises(LeadershipLostError):
        await one.keep()
    assert time.monotonic() - began < 30, "it has waited for the request"


async def test_an_api_server_that_asks_for_patience_gets_it(cluster):
    one = make_leader(cluster, "one")
    cluster.refusals["get", LEASE.name] = ClusterError(
        verb="get", kind=LEASE.name, namespace="", name="", status=429, reason="", message="", retry_after=7
    )
    assert not await one._try()
    assert one._pause == 7
    cluster.refusals.clear()
    assert await one._try()
    assert one._pause == 0.001


async def test_a_stolen_lease_ends_leadership_at_once(cluster):
    one = make_leader(cluster, "one")
    await one.acquire()
    body = cluster.find(LEASE, "lease", "system")
    cluster.put(LEASE, body | {"spec": body["spec"] | {"holderIdentity": "thief"}})
    with pytest.raises(LeadershipLostError):
        await one.keep()
    assert not one.may_write


async def test_of_two_that_create_the_lease_one_gets_it(cluster):
    one, two = make_leader(cluster, "one"), make_leader(cluster, "two")
    assert [await one._try(), await two._try()] == [True, False]


async def test_releasing_what_is_not_held_does_nothing(cluster):
    await make_leader(cluster, "one").release()
    assert cluster.objects == {}
