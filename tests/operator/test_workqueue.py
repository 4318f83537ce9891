import asyncio

import pytest

from llmi_operator.store import Key
from llmi_operator.workqueue import LAST_RETRY_SECONDS, WorkQueue

A, B = Key("models", "a"), Key("models", "b")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def queue(clock):
    queue = WorkQueue(clock=clock, pause=0.01)
    queue.open()
    yield queue
    queue.close()


def is_empty(queue):
    return queue._order.empty()


async def test_a_name_waits_at_most_once(queue):
    queue.add(A)
    queue.add(A)
    assert await queue.take() == A
    assert is_empty(queue)


async def test_names_come_in_order(queue):
    queue.add(B)
    queue.add(A)
    assert [await queue.take(), await queue.take()] == [B, A]


async def test_a_name_added_during_its_pass_comes_back_after_it(queue, clock):
    queue.add(A)
    await queue.take()
    queue.add(A)
    assert is_empty(queue)
    queue.done(A)
    clock.now += 1
    assert await asyncio.wait_for(queue.take(), 60) == A


async def test_a_storm_of_events_becomes_one_pass_after_a_pause(queue):
    queue.add(A)
    await queue.take()
    queue.done(A)
    for _ in range(100):
        queue.add(A)
    assert is_empty(queue)
    assert await asyncio.wait_for(queue.take(), 60) == A
    assert is_empty(queue)


async def test_retries_come_later_each_time_up_to_a_limit(queue):
    delays = [queue.retry(A) for _ in range(30)]
    assert delays[0] < 1
    assert LAST_RETRY_SECONDS <= delays[-1] <= LAST_RETRY_SECONDS * 1.2
    queue.succeed(A)
    assert queue.retry(A) < 1


async def test_the_server_may_ask_for_a_longer_wait(queue):
    assert queue.retry(A, at_least=30) >= 30


async def test_a_new_event_does_not_wait_for_a_retry(queue):
    queue.retry(A)
    queue.add(A)
    assert await queue.take() == A


async def test_the_earlier_of_two_wishes_counts(queue):
    queue.add_after(A, 1000)
    queue.add_after(A, 0.001)
    queue.add_after(A, 1000)
    assert await asyncio.wait_for(queue.take(), 60) == A


async def test_what_is_gone_leaves_nothing_behind(queue):
    queue.add(A)
    await queue.take()
    queue.retry(A)
    queue.done(A, gone=True)
    assert (queue._timers, queue._failures, queue._ended) == ({}, {}, {})


async def test_the_longest_wait_is_known(queue, clock):
    assert queue.oldest_seconds() == 0
    queue.add(A)
    clock.now += 7
    assert queue.oldest_seconds() == 7


async def test_a_replica_that_does_not_lead_collects_nothing(clock):
    queue = WorkQueue(clock=clock)
    queue.add(A)
    assert is_empty(queue)
    assert queue.oldest_seconds() == 0


async def test_a_name_that_is_to_be_held_back_is_held_back_whatever_happens(queue, clock):
    queue.add(A)
    await queue.take()
    assert queue.retry(A, at_least=5) >= 5
    queue.done(A)
    clock.now += 4
    queue.add(A)
    queue.add_after(A, 0)
    await asyncio.sleep(0.05)
    assert is_empty(queue)
    clock.now += 1.1
    queue.add(A)
    assert await asyncio.wait_for(queue.take(), 60) == A


async def test_after_success_nothing_is_held_back(queue, clock):
    queue.retry(A, at_least=5)
    queue.succeed(A)
    queue.add(A)
    assert await asyncio.wait_for(queue.take(), 60) == A


async def test_a_closed_queue_forgets_everything_and_can_be_opened_again(queue, clock):
    queue.add(A)
    queue.add(B)
    await queue.take()
    queue.retry(A, at_least=100)
    queue.close()
    assert is_empty(queue)
    assert queue.oldest_seconds() == 0
    queue.add(B)
    assert is_empty(queue)
    queue.open()
    queue.add(A)
    assert await asyncio.wait_for(queue.take(), 60) == A
