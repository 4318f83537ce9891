"""The operator is killed after each of its writes, and what it comes to is what it would have come to anyway.

The reference is a run of the same workload in which nothing goes wrong. A point that no write reaches ends the series,
so every write of every workload is a point.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from llmi_testing.api import Api
from llmi_testing.end_state import is_settled, read_end_state
from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import ALWAYS, WRITES, After, Answer, Fault, Match
from llmi_testing.fault_proxy import FaultProxy
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
CONVERGE_SECONDS = 90.0
"""How long it may take on a machine that has other things to do; how long it took is reported."""
SIDE_BY_SIDE = 3
AUTOSCALED = {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 4}}
RESOURCES = ("deployments", "services", "horizontalpodautoscalers", "poddisruptionbudgets", "networkpolicies",
             "serviceaccounts", "configmaps", "persistentvolumeclaims", "llminferences")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One resource of a workload, and how to act on it."""

    api: Api
    namespace: str
    name: str

    def create(self):
        self.api.create("llminferences", self.namespace, make_body(self.name, replicas=2))

    def edit(self, **spec: Any):
        self.api.patch("llminferences", self.namespace, self.name, {"spec": spec})

    def wait(self):
        eventually(lambda: is_settled(self.api, self.namespace, self.name), seconds=CONVERGE_SECONDS)

    def state(self):
        return read_end_state(self.api, self.namespace, self.name)


def create(place):
    place.create()


def change_image(place):
    place.edit(engine={"image": "llminference/server:other"})


def scale(place):
    place.edit(replicas=3)


def switch_autoscaling(place):
    place.edit(**AUTOSCALED)
    eventually(lambda: place.api.get("horizontalpodautoscalers", place.namespace, place.name), seconds=CONVERGE_SECONDS)
    eventually(lambda: not owns_replicas(place), seconds=CONVERGE_SECONDS)
    place.wait()
    place.edit(replicas=2, autoscaling=None)


def owns_replicas(place):
    entries = place.api.need("deployments", place.namespace, place.name)["metadata"]["managedFields"]
    return any(
        item["manager"] == "llminference-operator" and "f:replicas" in item["fieldsV1"].get("f:spec", {})
        for item in entries
    )


def delete(place):
    """Delete while the first pass may still be at work."""
    place.create()
    eventually(lambda: place.api.get("deployments", place.namespace, place.name), seconds=CONVERGE_SECONDS)
    place.api.delete("llminferences", place.namespace, place.name)


@dataclass(frozen=True)
class Workload:
    act: Callable[[Place], None]
    is_prepared: bool
    """Whether the resource is there and ready before anything happens."""
    is_cut_short: bool = False
    """Whether the work ends when it happens to be somewhere: then only that nothing is made twice is known."""


WORKLOADS = {
    "create": Workload(create, is_prepared=False),
    "image change": Workload(change_image, is_prepared=True),
    "scale": Workload(scale, is_prepared=True),
    "autoscaling on and off": Workload(switch_autoscaling, is_prepared=True),
    "delete": Workload(delete, is_prepared=False, is_cut_short=True),
}


@dataclass(frozen=True)
class Ending:
    """What a run came to."""

    state: dict[str, Any]
    creates: dict[tuple[str, str], int]
    deletes: dict[tuple[str, str], int]
    seconds: float


@dataclass
class Series:
    """All runs of one workload.

    Attributes:
        endings: What the run came to whose nth write was the last one of its process, from the first on.
    """

    reference: Ending
    endings: list[Ending]


class Laboratory:
    """A namespace, a proxy and an operator of its own for one workload."""

    def __init__(self, api, namespace, proxy, operator):
        self.api, self.namespace, self.proxy, self.operator = api, namespace, proxy, operator

    def run_series(self, workload):
        reference, _ = self.run(workload, "reference", None)
        endings = []
        while True:
            ending, killed = self.run(workload, f"killed-{len(endings) + 1}", len(endings), reference)
            if not killed:
                return Series(reference, endings)
            endings.append(ending)

    def run(self, workload, name, kill_after, reference=None):
        place, killed = Place(self.api, self.namespace, name), []
        if workload.is_prepared:
            place.create()
            place.wait()
            self.wait_for_rest(place)
        start = len(self.proxy.log)

        def kill():
            killed.append(time.monotonic())
            self.operator.kill()
            self.operator.start()

        if kill_after is not None:
            ours = Match(verbs=WRITES, kinds=RESOURCES, namespace=self.namespace, name=name)
            self.proxy.use(Fault(ours, After(kill), skip=kill_after))
        workload.act(place)
        began = time.monotonic()
        if reference is None:
            self.wait_for_rest(place)
        else:
            eventually(lambda: _equal(place.state(), reference.state), seconds=CONVERGE_SECONDS)
        seconds = time.monotonic() - max([began, *killed])
        self.proxy.stop()
        writes = [one for one in self.proxy.log[start:] if one.call.concerns_resources and one.call.name == name]
        ending = Ending(
            place.state(),
            count(one for one in writes if one.status == 201),
            count(one for one in writes if one.call.verb == "delete" and one.status == 200),
            seconds,
        )
        self.api.delete("llminferences", self.namespace, name)
        return ending, bool(killed)

    def wait_for_rest(self, place):
        """Wait until nothing has been written for a second."""

        def is_at_rest():
            gone = place.state().get("gone")
            assert gone or is_settled(self.api, self.namespace, place.name)
            writes = [one for one in self.proxy.log if one.call.concerns_resources and one.call.name == place.name]
            return not place.state().get("left") and time.monotonic() - max(one.answered_at for one in writes) > 1

        eventually(is_at_rest, seconds=CONVERGE_SECONDS)


def count(exchanges):
    return dict(Counter((one.call.kind, one.call.subresource) for one in exchanges))


def _equal(found, wanted):
    assert found == wanted
    return True


@pytest.fixture(scope="module")
def series(server, account, api, tmp_path_factory, audit):
    """All workloads side by side: none of them knows of the others."""

    def explore(item):
        number, workload = item
        namespace = f"crash-{number}"
        api.create("namespaces", "", {"metadata": {"name": namespace}})
        log = tmp_path_factory.mktemp("crash") / "log"
        # The name of a pod stays when its container is started anew, and with it the name in the lease.
        lease = {"lease_duration_seconds": "15", "lease_renew_deadline_seconds": "10", "lease_retry_seconds": "2"}
        settings = {"namespaces": namespace, "lease_name": namespace, "identity": namespace, **lease}
        with FaultProxy(server) as proxy:
            kubeconfig = proxy.kubeconfig(account)
            with OperatorProcess(kubeconfig, log, **settings) as operator:
                try:
                    return Laboratory(api, namespace, proxy, operator).run_series(workload)
                finally:
                    api.delete("namespaces", "", namespace)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        futures = {
            name: pool.submit(explore, item)
            for name, item in zip(WORKLOADS, enumerate(WORKLOADS.values()), strict=True)
        }
        with audit.excused():
            for future in futures.values():
                future.exception()
        yield futures


@pytest.mark.parametrize("workload", WORKLOADS)
def test_killed_after_any_write_it_comes_to_the_same_end(series, workload, record_property):
    found = series[workload].result()
    # Service, Deployment and status at least, whatever else there may be.
    assert len(found.endings) >= {"scale": 2, "image change": 2}.get(workload, 3)
    for ending in found.endings:
        assert ending.state == found.reference.state
        if WORKLOADS[workload].is_cut_short:
            assert set(ending.creates.values()) <= {1}
            assert ending.deletes == {}
        else:
            # Fewer are seen here where the process went before the answer to a write beside the chosen one came.
            assert not Counter(ending.creates) - Counter(found.reference.creates)
            assert not Counter(ending.deletes) - Counter(found.reference.deletes)
    record_property("points", len(found.endings))
    record_property("slowest_seconds", round(max(ending.seconds for ending in found.endings), 1))
    print(f"{workload}: {len(found.endings)} points, slowest {max(e.seconds for e in found.endings):.1f} s")


def test_the_comparison_sees_a_difference(server, account, api, namespace, tmp_path):
    """An operator that is not allowed to finish must not pass for one that did."""
    with FaultProxy(server) as proxy:
        settings = {"namespaces": namespace, "lease_name": namespace}
        with OperatorProcess(proxy.kubeconfig(account), tmp_path / "log", **settings):
            api.create("llminferences", namespace, make_body("whole"))
            eventually(lambda: is_settled(api, namespace, "whole"))
            proxy.use(Fault(Match(kinds=("services",), verbs=("apply",)), Answer(503), times=ALWAYS))
            api.create("llminferences", namespace, make_body("part"))
            eventually(lambda: api.get("deployments", namespace, "part"))
            assert read_end_state(api, namespace, "part") != read_end_state(api, namespace, "whole")
