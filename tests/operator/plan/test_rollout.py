import pytest

from llmi_api.v1alpha1 import RolloutMode
from llmi_operator.plan.rollout import (
    LiveRollout,
    RolloutDecision,
    RolloutReason,
    Room,
    decide_rollout,
    make_strategy,
)
from llmi_testing.inference import make_resource

GPU = {"accelerator": {}}
SURGE, REPLACE = RolloutMode.SURGE, RolloutMode.REPLACE
BESIDE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def in_place(missing=1):
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": missing, "maxSurge": 0}}


def live(strategy=None, **facts):
    return LiveRollout(strategy=strategy or BESIDE, **facts)


def asked(mode, **more):
    return {"rollout": {"mode": mode}, **more}


def decided(mode, reason, **more):
    return RolloutDecision(mode, RolloutReason[reason], **more)


REST = decided(SURGE, "AT_REST")
CASES = [
    pytest.param(
        {**GPU, "paused": True},
        live(in_place(2)),
        True,
        Room.BESIDE,
        decided(REPLACE, "GOES_ON", max_unavailable=2),
        id="paused: as it is",
    ),
    pytest.param({}, None, False, Room.UNKNOWN, decided(SURGE, "NO_ACCELERATOR"), id="on a CPU: always beside"),
    pytest.param(
        {},
        live(over=False, waiting=1, stuck=True),
        False,
        Room.UNKNOWN,
        decided(SURGE, "NO_ACCELERATOR"),
        id="on a CPU, though nothing is free",
    ),
    pytest.param(
        asked("Surge", **GPU),
        live(over=False, waiting=1, stuck=True),
        True,
        Room.IN_PLACE,
        decided(SURGE, "ASKED"),
        id="beside, as asked for, whatever is free",
    ),
    pytest.param(
        asked("Replace"),
        None,
        False,
        Room.UNKNOWN,
        decided(REPLACE, "ASKED", max_unavailable=1),
        id="in place, as asked for",
    ),
    pytest.param(
        asked("Replace", **GPU),
        live(),
        True,
        Room.BESIDE,
        decided(REPLACE, "ASKED", max_unavailable=1),
        id="in place, as asked for, though one is free",
    ),
    pytest.param(GPU, None, False, Room.UNKNOWN, REST, id="there is nothing yet"),
    pytest.param(GPU, live(), False, Room.UNKNOWN, REST, id="at rest"),
    pytest.param(GPU, live(in_place()), False, Room.UNKNOWN, REST, id="over: as it was before"),
    pytest.param(GPU, live(), True, Room.BESIDE, decided(SURGE, "ROOM_BESIDE"), id="begins, one is free"),
    pytest.param(
        GPU,
        live(),
        True,
        Room.IN_PLACE,
        decided(REPLACE, "ROOM_IN_PLACE", max_unavailable=1),
        id="begins, all are in use",
    ),
    pytest.param(
        GPU,
        live(),
        True,
        Room.NONE,
        decided(SURGE, "NO_ROOM"),
        id="begins, and an old one's end would not help: the old ones go on",
    ),
    pytest.param(GPU, live(), True, Room.UNKNOWN, decided(SURGE, "ROOM_UNKNOWN"), id="begins, and nobody knows"),
    pytest.param(GPU, live(over=False), False, Room.UNKNOWN, decided(SURGE, "GOES_ON"), id="goes on beside"),
    pytest.param(
        GPU,
        live(over=False, waiting=1),
        False,
        Room.UNKNOWN,
        decided(SURGE, "GOES_ON", waits=True),
        id="finds no room yet",
    ),
    pytest.param(
        GPU,
        live(over=False, waiting=1, stuck=True),
        False,
        Room.UNKNOWN,
        decided(REPLACE, "STUCK", max_unavailable=1),
        id="finds no room for long",
    ),
    pytest.param(
        GPU,
        live(in_place(), over=False),
        False,
        Room.UNKNOWN,
        decided(REPLACE, "GOES_ON", max_unavailable=1),
        id="goes on in place",
    ),
    pytest.param(
        GPU,
        live(in_place(), over=False),
        True,
        Room.BESIDE,
        decided(REPLACE, "GOES_ON", max_unavailable=1),
        id="another edit: the room of one that stops is not free",
    ),
    pytest.param(
        GPU,
        live(in_place(), over=False, waiting=1),
        False,
        Room.UNKNOWN,
        decided(REPLACE, "GOES_ON", max_unavailable=1, waits=True),
        id="the successor waits",
    ),
    pytest.param(
        GPU,
        live(in_place(), over=False, waiting=1, stuck=True),
        False,
        Room.UNKNOWN,
        decided(REPLACE, "GOES_ON", max_unavailable=2),
        id="fewer places than replicas: one that never comes does not count",
    ),
    pytest.param(
        GPU,
        live(in_place(3), over=False),
        False,
        Room.UNKNOWN,
        decided(REPLACE, "GOES_ON", max_unavailable=3),
        id="never fewer than before, until it is over",
    ),
    pytest.param(GPU, live(in_place(3)), False, Room.UNKNOWN, REST, id="over, however many were missing"),
    pytest.param(
        asked("Replace"),
        live(in_place(2)),
        False,
        Room.UNKNOWN,
        decided(REPLACE, "ASKED", max_unavailable=1),
        id="over, as asked for",
    ),
]


@pytest.mark.parametrize(("spec", "rollout", "begins", "room", "decision"), CASES)
def test_how_replicas_are_replaced(spec, rollout, begins, room, decision):
    assert decide_rollout(make_resource(**spec).spec, rollout, begins=begins, room=room) == decision


@pytest.mark.parametrize(("spec", "rollout", "begins", "room", "decision"), CASES)
def test_a_decision_comes_to_rest_where_nothing_happens(spec, rollout, begins, room, decision):
    after = LiveRollout(make_strategy(decision), over=rollout is None or rollout.over)
    spec = make_resource(**spec).spec
    first = make_strategy(decide_rollout(spec, after, begins=False))
    again = LiveRollout(first, over=after.over)
    assert make_strategy(decide_rollout(spec, again, begins=False)) == first


def test_a_strategy_that_somebody_set_to_recreate_counts_as_beside():
    assert LiveRollout({"type": "Recreate"}).max_unavailable == 0
    assert LiveRollout({"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}).max_unavailable == 0
