"""Shares of time in which the engine computed."""

import pytest

from llmi_server.engine_time import EngineTime


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine_time(clock):
    return EngineTime(clock)


def test_before_anything_was_computed_nothing_was(engine_time):
    busy = engine_time.read()
    assert (busy.serving_seconds, busy.busy_seconds, busy.hour_share, busy.minute_share) == (0, 0, 0, 0)


def test_what_was_computed_counts_in_the_minutes_in_which_it_was(engine_time, clock):
    clock.now += 75
    engine_time.add(30)  # 15 s in each of two minutes
    clock.now += 45
    busy = engine_time.read()
    assert (busy.serving_seconds, busy.busy_seconds) == (120, 30)
    assert (busy.hour_share, busy.minute_share) == (0.25, 0.25)


def test_after_an_hour_only_the_total_knows(engine_time, clock):
    clock.now += 60
    engine_time.add(60)
    assert engine_time.read().minute_share == 1
    clock.now += 7200
    busy = engine_time.read()
    assert (busy.busy_seconds, busy.hour_share, busy.minute_share) == (60, 0, 0)
    clock.now += 600
    engine_time.add(6)
    assert engine_time.read().minute_share == pytest.approx(0.1)
    assert engine_time.read().hour_share == pytest.approx(6 / 3540)


def test_one_computation_that_takes_more_than_an_hour_is_all_there_was(engine_time, clock):
    clock.now += 10_000
    engine_time.add(10_000)
    busy = engine_time.read()
    assert busy.busy_seconds == 10_000
    assert (busy.hour_share, busy.minute_share) == (1, 1)


def test_what_was_before_requests_are_taken_is_forgotten(engine_time, clock):
    clock.now += 30
    engine_time.add(30)
    engine_time.start_anew()
    clock.now += 10
    busy = engine_time.read()
    assert (busy.serving_seconds, busy.busy_seconds, busy.hour_share) == (10, 0, 0)
