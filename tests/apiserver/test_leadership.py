"""Two operators run, one writes; the other takes over when it goes or is killed. What else may happen: tests/faults."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = pytest.mark.apiserver


@pytest.fixture
def pair(account, tmp_path):
    with (
        OperatorProcess(account, tmp_path / "one", identity="one", user_agent="one") as one,
        OperatorProcess(account, tmp_path / "two", identity="two", user_agent="two") as two,
    ):
        eventually(lambda: one.is_leader() != two.is_leader())
        yield (one, two) if one.is_leader() else (two, one)


def writers(control_plane, namespace):
    """Who wrote in a namespace, in order, without repetitions."""
    order = []
    for line in control_plane.audit_log.read_text().splitlines():
        entry = json.loads(line)
        agent = entry.get("userAgent")
        place = entry.get("objectRef", {})
        if (
            agent in {"one", "two"}
            and entry["verb"] == "patch"
            and place.get("namespace") == namespace
            and order[-1:] != [agent]
        ):
            order.append(agent)
    return order


def test_when_the_leader_is_killed_the_other_takes_over(control_plane, space, pair):
    leader, follower = pair
    space.apply(make_body("before"))
    eventually(lambda: space.get("deployment", "before"))
    leader.kill()
    space.apply(make_body("after"))
    eventually(lambda: space.get("deployment", "after"), seconds=20)
    assert follower.is_leader()
    # First one, then the other, never back and forth.
    assert len(writers(control_plane, space.namespace)) == 2


def test_a_leader_that_stops_hands_over_at_once(space, pair):
    leader, follower = pair
    assert leader.stop() == 0
    # Well below the four seconds after which an abandoned lease is free.
    eventually(follower.is_leader, seconds=2)


def test_only_the_leader_writes(control_plane, space, pair):
    leader, _ = pair
    for number in range(3):
        space.apply(make_body(f"m{number}"))
    for number in range(3):
        space.wait_for_reason(f"m{number}", "Starting")
    assert len(writers(control_plane, space.namespace)) == 1
    assert leader.is_leader()


def test_a_second_signal_while_stopping_does_no_harm(account, tmp_path):
    with OperatorProcess(account, tmp_path / "log") as process:
        process._process.terminate()
        assert process.stop() == 0
    # kopf complains when it is stopped while it scans the API; a second signal used to end in a traceback of asyncio.
    assert [line for line in process.lines() if line["log.level"] == "error" and line["log.logger"] == "asyncio"] == []
