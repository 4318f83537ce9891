"""Two operators run, one writes; the other takes over when it goes or is killed. What else may happen: tests/faults."""

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.json_lines import read_json_lines
from llmi_testing.operator_process import OperatorProcess

pytestmark = pytest.mark.apiserver
LONG_LEASE = {
    "lease_duration_seconds": "120",
    "lease_renew_deadline_seconds": "100",
    "lease_retry_seconds": "0.3",
}


@pytest.fixture
def pair(request, account, tmp_path):
    """The leader and the other one. Where none is killed the lease is long: nobody loses it on a busy machine."""
    lease = getattr(request, "param", LONG_LEASE)
    with (
        OperatorProcess(account, tmp_path / "one", identity="one", user_agent="one", **lease) as one,
        OperatorProcess(account, tmp_path / "two", identity="two", user_agent="two", **lease) as two,
    ):
        eventually(lambda: one.is_leader() != two.is_leader())
        yield (one, two) if one.is_leader() else (two, one)


def writers(control_plane, namespace):
    """Who wrote in a namespace, in order, without repetitions."""
    order = []
    for entry in read_json_lines(control_plane.audit_log):
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


@pytest.mark.parametrize("pair", [{}], indirect=True, ids=["a short lease"])
def test_when_the_leader_is_killed_the_other_takes_over(control_plane, space, pair):
    leader, follower = pair
    space.apply(make_body("before"))
    eventually(lambda: space.get("deployment", "before"))
    leader.kill()
    space.apply(make_body("after"))
    eventually(lambda: space.get("deployment", "after"), seconds=60)
    assert follower.is_leader()
    # First one, then the other, never back and forth.
    eventually(lambda: len(writers(control_plane, space.namespace)) > 1)
    assert len(writers(control_plane, space.namespace)) == 2


def test_a_leader_that_stops_hands_over_at_once(space, pair):
    leader, follower = pair
    assert leader.stop() == 0
    # Well before the two minutes after which an abandoned lease is free.
    eventually(follower.is_leader)


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
