"""At rest the operator writes nothing, however often it looks."""

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = pytest.mark.apiserver
ROUNDS = 5
EVERYTHING = {
    "model": {"id": "a/b", "cache": {"size": "1024Mi", "accessMode": "ReadWriteMany"}},
    "replicas": 2,
    "access": {"allowFrom": [{"podLabels": {}}, {"namespaceLabels": {}}, {"cidr": "10.0.0.0/8"}]},
    "service": {"type": "ClusterIP", "annotations": {"a": "b"}},
    "engine": {"env": [{"name": "EMPTY"}, {"name": "A", "value": "$(B)"}], "imagePullSecrets": ["a", "b"]},
    "scheduling": {"tolerations": [{"operator": "Exists"}]},
    "verify": [{"input": "a", "expect": "b"}],
}


@pytest.fixture
def restless(account, tmp_path):
    """An operator that lists everything every second."""
    with OperatorProcess(account, tmp_path / "log", resync_seconds="1") as process:
        eventually(process.is_leader)
        yield process


def rounds(process):
    lines = process.ask("/metrics").splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith('llmi_operator_api_requests_total{kind="Service"')
        and 'verb="list"' in line
    )  # fmt: skip


def test_no_writes_at_rest(space, restless, written):
    space.apply(make_body(replicas=2))
    space.apply(make_body("scaled", autoscaling={"minReplicas": 2, "maxReplicas": 4}))
    # Amounts that the API server rewrites when it stores them.
    amounts = {"requests": {"cpu": "1000m", "memory": "1024Mi"}}
    space.apply(make_body("amounts", resources=amounts, service={"type": "NodePort"}))
    space.apply(make_body("everything", **EVERYTHING))
    space.wait_for_pods(7)
    space.make_pods_ready()
    for name in ("bert", "scaled", "amounts", "everything"):
        space.wait_for_reason(name, "Serving")
    start = rounds(restless)
    eventually(lambda: rounds(restless) > start + 1)
    before = written(space.namespace)
    eventually(lambda: rounds(restless) > start + 1 + ROUNDS, seconds=90)
    assert written(space.namespace) == before


def test_a_load_that_changes_makes_no_writes_until_the_number_changes(space, restless, written):
    def measure(in_flight, desired):
        """In the place of the autoscaler's controller, which does not run here."""
        average = {"metric": {"name": "llmi_requests_in_flight"}, "current": {"averageValue": str(in_flight)}}
        status = {
            "currentReplicas": 2,
            "desiredReplicas": desired,
            "currentMetrics": [{"type": "Pods", "pods": average}],
        }
        space.patch("hpa", "queue", {"status": status}, "--subresource=status")

    def because():
        return space.status("queue").get("scaling", {}).get("because")

    targets = {"inFlightPerReplica": 10}
    space.apply(make_body("queue", autoscaling={"minReplicas": 2, "maxReplicas": 4, "targets": targets}))
    space.wait_for_pods(2)
    space.make_pods_ready()
    space.wait_for_reason("queue", "Serving")
    measure(7, 2)
    eventually(lambda: because() == "2: 14 in flight, target 10 each")
    start = rounds(restless)
    eventually(lambda: rounds(restless) > start + 1)
    before = written(space.namespace)
    for in_flight in range(1, 10):
        measure(in_flight, 2)
    start = rounds(restless)
    eventually(lambda: rounds(restless) > start + 2, seconds=90)
    assert written(space.namespace) == before
    measure(19, 4)
    eventually(lambda: because() == "4: 38 in flight, target 10 each")


def test_a_new_leader_finds_nothing_to_write(space, account, tmp_path, written):
    with OperatorProcess(account, tmp_path / "first") as first:
        eventually(first.is_leader)
        space.apply(make_body(replicas=2, resources={"requests": {"cpu": "0.5"}}))
        space.wait_for_pods(2)
        space.make_pods_ready()
        space.wait_for_reason("bert", "Serving")
    before = written(space.namespace)
    with OperatorProcess(account, tmp_path / "second") as second:
        eventually(second.is_leader)
        eventually(lambda: 'llmi_operator_passes_total{result="done"}' in second.ask("/metrics"))
        eventually(lambda: "llmi_operator_queue_length 0.0" in second.ask("/metrics"))
        assert written(space.namespace) == before


def test_one_resource_costs_one_write_for_each_child(space, restless, written):
    space.apply(make_body())
    space.wait_for_reason("bert", "Starting")
    space.wait_for_pods(1)
    writes = written(space.namespace)
    # Created, and then once more when the Deployment says how many pods it has.
    assert writes.count(("patch", "llminferences", "status")) <= 3
    always = ("services", "deployments", "serviceaccounts", "networkpolicies")
    assert [writes.count(("patch", kind, "")) for kind in always] == [1, 1, 1, 1]
    assert set(writes) == {*(("patch", kind, "") for kind in always), ("patch", "llminferences", "status")}
