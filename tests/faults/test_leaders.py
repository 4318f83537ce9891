"""Two replicas: one writes, never both, whatever happens to them; and the other one takes over in time."""

import contextlib
import os
import signal
import time

import pytest

from llmi_testing.end_state import is_settled
from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import Delay, Fault, Match
from llmi_testing.fault_proxy import FaultProxy
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
DEFAULT_LEASE = {
    "lease_duration_seconds": "15",
    "lease_renew_deadline_seconds": "10",
    "lease_retry_seconds": "2",
}
LONG_LEASE = {
    "lease_duration_seconds": "120",
    "lease_renew_deadline_seconds": "100",
    "lease_retry_seconds": "2",
}
WORKS_SECONDS = 60.0
"""How long it may take on a machine that has other things to do; how long it took is reported."""


class Pair:
    """Two replicas of one operator in one namespace, told apart by their user agents."""

    def __init__(self, api, namespace, proxy, one, two):
        self.api, self.namespace, self.proxy = api, namespace, proxy
        self.leader, self.follower = (one, two) if one.is_leader() else (two, one)

    def edit(self, replicas):
        self.api.patch("llminferences", self.namespace, "bert", {"spec": {"replicas": replicas}})

    def wait_for(self, replicas, seconds=WORKS_SECONDS):
        def look():
            return self.api.need("deployments", self.namespace, "bert")["spec"]["replicas"] == replicas

        eventually(look, seconds=seconds)

    def writers(self):
        """Who wrote, in order, without repetitions."""
        order = []
        for one in self.proxy.writes(self.namespace):
            if order[-1:] != [one.call.agent]:
                order.append(one.call.agent)
        return order

    def wait_for_writers(self, *agents):
        """Wait until just these have written, in this order: an edit can be seen before its answer is in the log."""
        eventually(lambda: self.writers() == list(agents), f"writers are {agents}")

    def agent(self, process):
        return process._settings["user_agent"]


@pytest.fixture
def make_pair(server, api, account, namespace, tmp_path, audit):
    """Two replicas; while they are without a leader, nobody is to blame for an old status."""
    with contextlib.ExitStack() as stack:

        def make(one=None, two=None, **lease):
            proxy = stack.enter_context(FaultProxy(server))
            kubeconfig = proxy.kubeconfig(account)
            settings = {"namespaces": namespace, "lease_name": namespace, **lease}
            processes = [
                stack.enter_context(
                    OperatorProcess(
                        kubeconfig, tmp_path / name, identity=name, user_agent=name, **settings, **(more or {})
                    )
                )
                for name, more in (("one", one), ("two", two))
            ]
            eventually(lambda: processes[0].is_leader() != processes[1].is_leader())
            pair = Pair(api, namespace, proxy, *processes)
            api.create("llminferences", namespace, make_body())
            eventually(lambda: is_settled(api, namespace, "bert"))
            stack.enter_context(audit.excused())
            return pair

        yield make


def test_after_the_leader_was_killed_the_other_works_once_the_lease_has_ended(make_pair, record_property):
    pair = make_pair(**DEFAULT_LEASE)
    pair.leader.kill()
    began = time.monotonic()
    pair.edit(3)
    pair.wait_for(3)
    record_property("seconds", round(time.monotonic() - began, 1))
    print(f"leader killed: {time.monotonic() - began:.1f} s")
    pair.wait_for_writers(pair.agent(pair.leader), pair.agent(pair.follower))


def test_after_the_leader_was_stopped_the_other_works_long_before_the_lease_would_have_ended(
    make_pair, record_property
):
    pair = make_pair(**LONG_LEASE)
    began = time.monotonic()
    os.kill(pair.leader._process.pid, signal.SIGTERM)
    pair.edit(3)
    pair.wait_for(3)
    record_property("seconds", round(time.monotonic() - began, 1))
    print(f"leader stopped: {time.monotonic() - began:.1f} s")
    assert pair.leader._process.wait(25) == 0
    pair.wait_for_writers(pair.agent(pair.leader), pair.agent(pair.follower))


def test_a_leader_behind_a_partition_writes_nothing_after_the_other_did_and_stays_warm(make_pair):
    pair = make_pair()
    agent = pair.agent(pair.leader)
    with pair.proxy.partition(Match(agent=agent)):
        pair.edit(3)
        pair.wait_for(3)
        eventually(lambda: not pair.leader.is_leader())
    # Healed: it is the follower now, and takes over when it is needed again.
    throughout_edits(pair, (2, 4))
    pair.wait_for_writers(agent, pair.agent(pair.follower))
    assert pair.leader.returncode is None
    pair.follower.kill()
    pair.edit(5)
    pair.wait_for(5)
    pair.wait_for_writers(agent, pair.agent(pair.follower), agent)


def throughout_edits(pair, numbers):
    for number in numbers:
        pair.edit(number)
        pair.wait_for(number)
    eventually(lambda: is_settled(pair.api, pair.namespace, "bert"))


def test_a_write_that_was_under_way_too_long_changes_nothing(make_pair):
    pair = make_pair()
    agent = pair.agent(pair.leader)
    late = Fault(Match(verbs=("apply",), kinds=("deployments",), agent=agent), Delay(12.0))
    pair.proxy.use(late)
    pair.edit(3)
    eventually(lambda: [one for one in pair.proxy.log if one.action is late.action])
    with pair.proxy.partition(Match(kinds=("leases",), agent=agent)):
        eventually(pair.follower.is_leader)
        throughout_edits(pair, (4, 2))
        time.sleep(8)  # the late write arrives meanwhile, if anybody still sends it
        pair.wait_for(2)
    done = [one for one in pair.proxy.writes(pair.namespace) if one.call.kind == "deployments"]
    assert done[-1].call.agent == pair.agent(pair.follower)


def test_a_leader_that_was_asleep_writes_nothing_when_it_wakes(make_pair):
    pair = make_pair()
    os.kill(pair.leader._process.pid, signal.SIGSTOP)
    try:
        pair.edit(3)
        pair.wait_for(3)
        pair.edit(4)
        pair.wait_for(4)
    finally:
        os.kill(pair.leader._process.pid, signal.SIGCONT)
    eventually(lambda: not pair.leader.is_leader())
    throughout_edits(pair, (2,))
    pair.wait_for_writers(pair.agent(pair.leader), pair.agent(pair.follower))


@pytest.mark.parametrize("skew", ["-120", "120"])
def test_a_wrong_clock_makes_no_second_leader(make_pair, monkeypatch, skew):
    monkeypatch.setenv("LLMI_TEST_CLOCK_SKEW", skew)
    monkeypatch.setattr(OperatorProcess, "module", "llmi_testing.skewed_operator")
    pair = make_pair()
    monkeypatch.undo()
    # Beyond the end of the lease by anybody's clock, and renewed all the time.
    end = time.monotonic() + 8
    while time.monotonic() < end:
        throughout_edits(pair, (3, 2))
        assert pair.leader.is_leader()
        assert not pair.follower.is_leader()
    pair.wait_for_writers(pair.agent(pair.leader))


def test_a_stolen_lease_is_waited_for(make_pair):
    pair = make_pair()
    pair.follower.stop()
    lease = {"holderIdentity": "thief", "leaseDurationSeconds": 6, "leaseTransitions": 99}
    pair.api.patch("leases", "llminference-system", pair.namespace, {"spec": lease})
    eventually(lambda: not pair.leader.is_leader())
    pair.edit(3)
    eventually(pair.leader.is_leader)
    pair.wait_for(3)
    assert pair.leader.returncode is None
