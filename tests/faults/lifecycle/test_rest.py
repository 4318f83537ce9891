"""At rest the operator writes nothing, whoever restarts it; it takes back its own fields and leaves those of others."""

import json
import threading
import time

import pytest

from llmi_testing import keda
from llmi_testing.api import path
from llmi_testing.auditor import is_ending
from llmi_testing.eventually import eventually
from llmi_testing.operator_process import CALM_LEASE, OperatorProcess
from llmi_testing.passes import wait_for_passes, wait_until_idle
from llmi_testing.resources import create_ready, is_ready, wait_until_ready
from llmi_testing.writes import AppliedCount

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
RESOURCES = 100
NAME = "bert"
AUTO = {"minReplicas": 2, "maxReplicas": 6}
IDLE = [
    pytest.param(60, "5", id="a minute, listing every 5 s"),
    pytest.param(600, "60", marks=[pytest.mark.soak, pytest.mark.timeout(1500)], id="ten minutes"),
]


@pytest.fixture(autouse=True)
def nothing_ends(api):
    """The API server counts writes to all namespaces, and in one that ends a child may go before its resource."""
    eventually(lambda: not list(filter(is_ending, api.list("namespaces"))), "no namespace is ending", seconds=180)


@pytest.mark.parametrize(("seconds", "resync"), IDLE)
def test_a_hundred_resources_at_rest_cost_no_write(server, api, namespace, account, tmp_path, seconds, resync):
    with OperatorProcess(account, tmp_path / "first", resync_seconds=resync, **CALM_LEASE) as first:
        eventually(first.is_leader)
        create_ready(api, namespace, [f"r{number}" for number in range(RESOURCES)])
        wait_until_idle(first)
        applied = AppliedCount(server)
        time.sleep(seconds)  # the requirement is a time
        assert applied.since() == {}
    with OperatorProcess(account, tmp_path / "second", resync_seconds=resync, **CALM_LEASE) as second:
        eventually(second.is_leader, seconds=40)
        wait_for_passes(second, RESOURCES, seconds=200)
        wait_until_idle(second)
        assert applied.since() == {}


class Meddler:
    """Another writer, who changes one object every second."""

    def __init__(self, api, where, change):
        self._api, self._where, self._change = api, where, change
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.written = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join(10)

    def _run(self):
        while not self._done.wait(1):
            self.written += 1
            self._api.patch(*self._where, self._change(self.written))


@pytest.mark.parametrize("seconds", [15, pytest.param(300, marks=pytest.mark.soak)])
def test_who_changes_our_fields_every_second_is_taken_back_without_a_storm(server, api, namespace, operator, seconds):
    create_ready(api, namespace, [NAME])
    wait_until_idle(operator)
    applied = AppliedCount(server)
    began = time.monotonic()
    change = lambda number: {"spec": {"progressDeadlineSeconds": 5000 + number, "revisionHistoryLimit": 9}}  # noqa: E731
    with Meddler(api, ("deployments", namespace, NAME), change) as meddler:
        eventually(lambda: meddler.written >= seconds, seconds=4 * seconds)
    lasted = time.monotonic() - began
    eventually(lambda: api.need("deployments", namespace, NAME)["spec"]["revisionHistoryLimit"] != 9)
    counts = applied.since()
    assert 1 < counts["deployments"] <= 2 * lasted
    # What is set back at once is told in an event, and is no change of state.
    assert counts.get("llminferences/status", 0) <= 2


def port(api, namespace):
    return api.need("services", namespace, NAME)["spec"]["ports"][0]["port"]


def test_fields_of_others_are_kept_over_a_hundred_passes(api, namespace, account, tmp_path):
    with OperatorProcess(account, tmp_path / "log", resync_seconds="1") as process:
        eventually(process.is_leader)
        create_ready(api, namespace, [NAME])
        theirs = {"team": "search"}
        restart = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
        template = {"metadata": {"annotations": restart}}
        api.patch("deployments", namespace, NAME, {"metadata": {"annotations": theirs}, "spec": {"template": template}})
        change = {"metadata": {"labels": theirs}, "spec": {"sessionAffinity": "ClientIP"}}
        api.patch("services", namespace, NAME, change)
        for number in range(100):
            # Each edit of the spec causes a pass that applies; listings cause others.
            api.patch("llminferences", namespace, NAME, {"spec": {"service": {"port": 8000 + number}}})
            eventually(lambda number=number: port(api, namespace) == 8000 + number)
        deployment, service = (api.need(kind, namespace, NAME) for kind in ("deployments", "services"))
        assert theirs.items() <= deployment["metadata"]["annotations"].items()
        assert restart.items() <= deployment["spec"]["template"]["metadata"]["annotations"].items()
        assert theirs.items() <= service["metadata"]["labels"].items()
        assert service["spec"]["sessionAffinity"] == "ClientIP"


def scale(api, namespace, replicas):
    """As an autoscaler does, through the same subresource."""
    where = path("deployments", namespace, NAME, "scale")
    status, answer = api.ask("PATCH", where, {"spec": {"replicas": replicas}}, "application/merge-patch+json")
    assert status == 200, answer


def replicas_now(api, namespace):
    return api.need("deployments", namespace, NAME)["spec"]["replicas"]


def owners_of_replicas(api, namespace):
    entries = api.need("deployments", namespace, NAME)["metadata"]["managedFields"]
    return {item["manager"] for item in entries if "f:replicas" in item.get("fieldsV1", {}).get("f:spec", {})}


@pytest.fixture(scope="module")
def keda_type(server, tmp_path_factory):
    """KEDA's type ScaledObject; without KEDA, so that only the test scales."""
    file = tmp_path_factory.mktemp("type") / "type.json"
    file.write_text(json.dumps(keda.read_scaled_object_type()))
    with server.with_type(file, keda.NAME):
        yield


@pytest.mark.parametrize("scaling", [AUTO, {**AUTO, "backend": "keda"}], ids=["hpa", "keda"])
def test_what_the_autoscaler_decides_is_never_touched(server, api, namespace, account, tmp_path, keda_type, scaling):
    with OperatorProcess(account, tmp_path / "first", resync_seconds="1") as first:
        eventually(first.is_leader)
        create_ready(api, namespace, [NAME], autoscaling=scaling)
        eventually(lambda: owners_of_replicas(api, namespace).isdisjoint({"llminference-operator"}))
        wait_until_idle(first)
        applied = AppliedCount(server)
        for number in range(50):
            scale(api, namespace, 2 + number % 5)
            wait_for_passes(first, 1)
            assert replicas_now(api, namespace) == 2 + number % 5
    with OperatorProcess(account, tmp_path / "second", resync_seconds="1") as second:
        eventually(second.is_leader, seconds=40)
        for number in range(50):
            scale(api, namespace, 2 + number % 5)
            wait_for_passes(second, 1)
            assert replicas_now(api, namespace) == 2 + number % 5
    assert "deployments" not in applied.since()


def test_what_an_autoscaler_left_stays_when_it_is_switched_off_without_a_number(api, namespace, account, operator):
    create_ready(api, namespace, [NAME], autoscaling=AUTO)
    eventually(lambda: owners_of_replicas(api, namespace).isdisjoint({"llminference-operator"}))
    autoscale(api, namespace, 4)
    api.patch("llminferences", namespace, NAME, {"spec": {"autoscaling": None}})
    eventually(lambda: not api.get("horizontalpodautoscalers", namespace, NAME))
    eventually(lambda: api.get("poddisruptionbudgets", namespace, NAME))
    wait_until_ready(api, namespace, NAME)
    assert replicas_now(api, namespace) == 4
    api.patch("llminferences", namespace, NAME, {"spec": {"replicas": 3}})
    eventually(lambda: replicas_now(api, namespace) == 3)


def autoscale(api, namespace, replicas):
    """As the controller of HorizontalPodAutoscalers, by its name: the real one has no metrics here."""
    where = path("deployments", namespace, NAME, "scale") + "?fieldManager=kube-controller-manager"
    status, answer = api.ask("PATCH", where, {"spec": {"replicas": replicas}}, "application/merge-patch+json")
    assert status == 200, answer


def test_switching_the_autoscaler_on_and_off_never_drops_below_what_serves(api, namespace, operator):
    create_ready(api, namespace, [NAME], replicas=3)
    seen, done = [], threading.Event()

    def watch():
        while not done.wait(0.02):
            seen.append(replicas_now(api, namespace))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for _ in range(3):
        api.patch("llminferences", namespace, NAME, {"spec": {"replicas": None, "autoscaling": AUTO}})
        eventually(lambda: api.get("horizontalpodautoscalers", namespace, NAME))
        wait_until_ready(api, namespace, NAME)
        scale(api, namespace, 4)
        eventually(lambda: is_ready(api, namespace, NAME))
        api.patch("llminferences", namespace, NAME, {"spec": {"replicas": 4, "autoscaling": None}})
        eventually(lambda: not api.get("horizontalpodautoscalers", namespace, NAME))
        wait_until_ready(api, namespace, NAME)
        api.patch("llminferences", namespace, NAME, {"spec": {"replicas": 3}})
        eventually(lambda: replicas_now(api, namespace) == 3)
    done.set()
    watcher.join(10)
    assert min(seen) == 3
