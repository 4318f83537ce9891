"""Replicas are asked in the background, seldom, and their silence does no harm."""

import asyncio

import pytest

from llmi_api.readiness import ReadinessReport, Stage
from llmi_operator.cluster import readiness
from llmi_operator.cluster.readiness import (
    LONGEST_PAUSE_SECONDS,
    PATIENCE,
    READY_ATTEMPTS,
    READY_PAUSE_SECONDS,
    STARTING_PAUSE_SECONDS,
)
from llmi_operator.store import Key
from llmi_testing.observations import pod, ready_pod

KEY = Key("models", "bert")
LOADING = ReadinessReport(stage=Stage.LOADING, phase="weights")


class World(readiness.ReadinessReader):
    def __init__(self):
        super().__init__(self.note, self.remember, clock=lambda: self.seconds)
        self.seconds, self.asked, self.news = 100.0, 0, []
        self.answer, self.reminders = LOADING, []

    def note(self, key):
        self.news.append(key)

    def remember(self, key, seconds):
        self.reminders.append((key, seconds))

    async def _fetch(self, address):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def go(self, one, after=0.0):
        self.seconds += after
        self.ask(KEY, one)
        await asyncio.gather(*self._tasks)


@pytest.fixture
def world():
    return World()


async def test_an_answer_is_kept_and_told_once(world):
    await world.go(pod())
    assert world.find(KEY, "uid-bert-1-a") == LOADING
    await world.go(pod(), after=STARTING_PAUSE_SECONDS)
    assert (world.asked, world.news) == (2, [KEY])


async def test_a_resource_is_asked_once_in_a_while_whatever_the_number_of_its_replicas(world):
    await world.go(pod("a"))
    await world.go(pod("b"), after=STARTING_PAUSE_SECONDS - 1)
    assert world.asked == 1


async def test_who_stays_silent_is_asked_less_and_less_often(world):
    world.answer = TimeoutError()
    for _ in range(PATIENCE + 1):
        await world.go(pod(), after=STARTING_PAUSE_SECONDS)
    assert world.asked == PATIENCE + 1
    await world.go(pod(), after=STARTING_PAUSE_SECONDS)
    assert world.asked == PATIENCE + 1
    for _ in range(5):
        await world.go(pod(), after=LONGEST_PAUSE_SECONDS)
    assert world.asked == PATIENCE + 6
    assert world.news == []


async def test_a_ready_replica_that_tells_nothing_is_left_in_peace(world):
    world.answer = ValueError("no report")
    for _ in range(10):
        await world.go(ready_pod(), after=60)
    assert world.asked == READY_ATTEMPTS


async def test_a_replica_that_is_ready_too_soon_to_be_asked_is_asked_a_moment_later(world):
    await world.go(pod())
    await world.go(ready_pod(), after=READY_PAUSE_SECONDS - 0.5)
    assert world.asked == 1
    assert world.reminders == [(KEY, 0.5)]
    await world.go(ready_pod(), after=0.5)
    assert world.asked == 2


async def test_what_is_gone_is_forgotten(world):
    await world.go(pod("a"))
    world.keep(KEY, {"uid-b"})
    assert world.find(KEY, "uid-a") is None
    world.keep(KEY, set())
    assert world._memories == {}
    await world.close()
