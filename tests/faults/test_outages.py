"""The API server is away, with work in flight; and the operator is away, with the API server there."""

import time

import pytest

from llmi_testing.end_state import is_answered, is_settled
from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import Match
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
# How long both took is reported; on a machine with other things to do it is more. The lease is given up after 10 s.
CONVERGE_SECONDS = LOST_SECONDS = 90.0
RESOURCES = 20
DEFAULT_LEASE = {
    "lease_duration_seconds": "15",
    "lease_renew_deadline_seconds": "10",
    "lease_retry_seconds": "2",
}


@pytest.fixture
def patient(proxy, account, tmp_path, namespace):
    """An operator with the lease times that users have."""
    log = tmp_path / "log"
    settings = {"namespaces": namespace, "lease_name": namespace, **DEFAULT_LEASE}
    with OperatorProcess(proxy.kubeconfig(account), log, **settings) as process:
        eventually(process.is_leader)
        yield process


@pytest.mark.parametrize(
    "seconds",
    [
        10,
        pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(300)]),
        pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(700)]),
    ],
)
def test_after_an_outage_with_work_in_flight_everything_converges(
    server, api, proxy, patient, namespace, audit, seconds, record_property
):
    names = [f"m{number}" for number in range(RESOURCES)]
    for name in names[: RESOURCES // 2]:
        api.create("llminferences", namespace, make_body(name))
    eventually(lambda: all(is_settled(api, namespace, name) for name in names[: RESOURCES // 2]), seconds=60)
    with audit.excused():
        for name in names[: RESOURCES // 2]:
            api.patch("llminferences", namespace, name, {"spec": {"replicas": 2}})
        for name in names[RESOURCES // 2 :]:
            api.create("llminferences", namespace, make_body(name))
        with server.outage():
            wait_out(seconds)
        began = time.monotonic()
        eventually(lambda: all(is_done(api, namespace, name) for name in names), seconds=CONVERGE_SECONDS)
        took = time.monotonic() - began
        # The controllers of the cluster have been away as well, and take their time.
        eventually(lambda: all(is_settled(api, namespace, name) for name in names), seconds=100)
    # The same process: nobody had to start it anew.
    assert patient.returncode is None
    for name in names[: RESOURCES // 2]:
        assert api.need("deployments", namespace, name)["spec"]["replicas"] == 2
    assert not [one for one in proxy.writes(namespace) if one.call.verb == "delete"]
    created = [(one.call.kind, one.call.name) for one in proxy.writes(namespace) if one.status == 201]
    assert len(created) == len(set(created))
    record_property("converged_seconds", round(took, 1))
    print(f"API server down {seconds} s: converged {took:.1f} s after it answered")


def is_done(api, namespace, name):
    """Whether the operator has done its part: everything that a resource has is there, and the status says so."""
    if not is_answered(api, namespace, name):
        return False
    spec = api.need("llminferences", namespace, name)["spec"]
    deployment = api.get("deployments", namespace, name)
    return (
        deployment is not None
        and deployment["spec"]["replicas"] == spec.get("replicas", 1)
        and api.get("services", namespace, name) is not None
    )


def wait_out(seconds):
    """An outage is a length of time: there is nothing to wait for but its end."""
    time.sleep(seconds)


def test_an_outage_does_not_end_the_operator_and_it_writes_nothing_without_its_lease(
    api, proxy, patient, namespace, audit
):
    api.create("llminferences", namespace, make_body())
    eventually(lambda: is_settled(api, namespace, "bert"))
    lease = Match(kinds=("leases",))
    with audit.excused(), proxy.partition(lease):
        eventually(lambda: not patient.is_leader(), seconds=LOST_SECONDS)
        start = len(proxy.log)
        api.patch("llminferences", namespace, "bert", {"spec": {"replicas": 3}})
        # It watches all the time, and knows.
        eventually(lambda: sum(one.call.verb == "watch" for one in proxy.log[start:]) > 0, seconds=60)
        assert not [one for one in proxy.log[start:] if one.call.concerns_resources]
    eventually(lambda: api.need("deployments", namespace, "bert")["spec"]["replicas"] == 3)
    assert patient.returncode is None


def test_it_is_alive_for_as_long_as_the_outage_lasts(api, proxy, patient):
    with proxy.partition():
        eventually(lambda: not patient.is_leader(), seconds=LOST_SECONDS)
        assert patient.ask("/livez") == "ok"
