"""Rollouts where accelerators are few: a real scheduler and Deployment controller, and nodes with so many GPUs."""

import contextlib
import itertools
import threading
from pathlib import Path

import pytest

from llmi_testing.api import Api
from llmi_testing.bare_nodes import Nodes
from llmi_testing.control_plane import installed_control_plane
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.pretend_kubelet import PretendKubelet
from llmi_testing.situations import GPU
from llmi_testing.space import Space

pytestmark = pytest.mark.apiserver
ROOT = Path(__file__).parents[2]
READER = str(ROOT / "deploy" / "cluster-reader")
SYSTEM = "llminference-system"
BESIDE = {"maxUnavailable": 0, "maxSurge": 1}
_numbers = itertools.count(1)


class HastyOperator(OperatorProcess):
    """Reads nodes anew each time, and takes a replica for stuck after 6 s."""

    module = "llmi_testing.hasty_operator"


class Kubelets(PretendKubelet):
    """Cares for pods that the scheduler has placed, and notes how many answered at the least.

    Attributes:
        fewest: The least number of ready pods since it was set.
        held: While set, new pods do not become ready.
        clinging: While set, pods that are to stop do not.
    """

    def __init__(self, api):
        super().__init__(api)
        self.fewest = 0
        self.held = threading.Event()
        self.clinging = threading.Event()

    def _beat(self):
        pods = self._api.list("pods")
        answering = [pod for pod in pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]
        self.fewest = min(self.fewest, len(answering))

    def _care_for(self, pod):
        holds = self.clinging if "deletionTimestamp" in pod["metadata"] else self.held
        if pod["spec"].get("nodeName") and not holds.is_set():
            super()._care_for(pod)


def is_ready(pod):
    conditions = pod.get("status", {}).get("conditions", ())
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


@pytest.fixture(scope="module")
def server():
    with installed_control_plane(audit=False, scheduler=True) as server:
        server.kubectl("apply", "-k", READER)
        yield server


@pytest.fixture(scope="module")
def operator(server, tmp_path_factory):
    account = server.kubeconfig_for_service_account("llminference-operator", SYSTEM)
    with HastyOperator(account, tmp_path_factory.mktemp("operator") / "log") as process:
        eventually(process.is_leader)
        yield process


@pytest.fixture
def kubelets(server):
    with Kubelets(Api(server)) as kubelets:
        yield kubelets


@pytest.fixture
def nodes(server):
    with Nodes(server) as nodes:
        yield nodes


@pytest.fixture
def space(server, kubelets):
    name = f"rollout-{next(_numbers)}"
    server.kubectl("create", "namespace", name)
    eventually(lambda: server.kubectl("-n", name, "get", "sa", "default", "--ignore-not-found"))
    yield Space(server, name)
    server.kubectl("-n", name, "delete", "llmi", "--all", "--wait=false")
    eventually(lambda: not server.kubectl("-n", name, "get", "pods", "-o", "name").strip(), seconds=90)
    server.kubectl("delete", "namespace", name, "--wait=false")


def serve(space, kubelets, *, replicas, answering=None):
    """Let as many replicas answer as there are GPUs for, and begin to count from there."""
    wait_for_nodes(space)
    space.apply(make_body(replicas=replicas, accelerator={}, engine={"image": "server:1"}))
    wanted = replicas if answering is None else answering
    eventually(lambda: space.status("bert").get("readyReplicas") == wanted, seconds=40)
    kubelets.fewest = wanted


def wait_for_nodes(space):
    """Wait until new nodes take pods."""
    eventually(lambda: not any(node["spec"].get("taints") for node in space.list("nodes")), seconds=40)


def edit(space, **spec):
    space.patch("llmi", "bert", {"spec": {"engine": {"image": "server:2"}, **spec}})


def images(space):
    return sorted(pod["spec"]["containers"][0]["image"] for pod in space.list("pods"))


def strategy(space):
    return space.need("deployment", "bert")["spec"]["strategy"]["rollingUpdate"]


def wait_for_mode(space, mode, because, *, seconds=60):
    """Wait for both: a mode may stand there for another reason before a pass has seen the edit."""

    def look():
        rollout = space.status("bert").get("rollout", {})
        assert rollout.get("mode") == mode, rollout
        assert rollout["because"].startswith(because), rollout
        return True

    eventually(look, seconds=seconds)


@pytest.mark.usefixtures("operator")
def test_while_all_gpus_are_in_use_replicas_are_replaced_one_by_one_and_beside_again_once_one_is_free(
    space, nodes, kubelets
):
    nodes.make("full", more={GPU: "2"})
    serve(space, kubelets, replicas=2)
    kubelets.held.set()
    edit(space)
    wait_for_mode(space, "Replace", f"No {GPU} is free for a replica more, so replicas are replaced")
    eventually(lambda: images(space) == ["server:1", "server:2"], seconds=40)
    kubelets.held.clear()
    eventually(lambda: images(space) == ["server:2"] * 2, seconds=40)
    space.wait_for_reason("bert", "Serving", seconds=40)
    assert kubelets.fewest == 1
    eventually(lambda: strategy(space) == BESIDE)
    wait_for_mode(space, "Surge", "In the next rollout a new replica starts before an old one goes")
    nodes.make("spare", more={GPU: "1"})
    wait_for_nodes(space)
    kubelets.fewest = 2
    kubelets.held.set()
    edit(space, engine={"image": "server:3"})
    eventually(lambda: images(space) == ["server:2", "server:2", "server:3"], seconds=40)
    wait_for_mode(space, "Surge", f"A node has a free {GPU}")
    kubelets.held.clear()
    eventually(lambda: images(space) == ["server:3"] * 2, seconds=40)
    space.wait_for_reason("bert", "Serving", seconds=40)
    assert kubelets.fewest == 2


@pytest.mark.usefixtures("operator")
def test_the_only_replica_on_the_only_gpu_makes_room_and_it_is_said_that_nobody_answers(space, nodes, kubelets):
    nodes.make("full", more={GPU: "1"})
    serve(space, kubelets, replicas=1)
    gap = space.status("bert")["rollout"]["gap"]
    kubelets.held.set()
    kubelets.clinging.set()
    edit(space)
    eventually(lambda: "waits for an older one to stop" in space.status("bert")["why"], seconds=40)
    kubelets.clinging.clear()
    eventually(lambda: images(space) == ["server:2"], seconds=40)

    def look():
        why = space.status("bert")["why"]
        assert f"Nobody answers until the new replica does, for about {gap} in all" in why, why
        return True

    eventually(look)
    assert space.condition("bert", "Degraded")["status"] == "False"
    kubelets.held.clear()
    space.wait_for_reason("bert", "Serving", seconds=40)
    eventually(lambda: strategy(space) == BESIDE)


@pytest.mark.usefixtures("operator")
def test_a_new_version_that_fits_nowhere_leaves_the_old_one_serving_and_is_told(space, nodes, kubelets):
    nodes.make("full", more={GPU: "1"})
    serve(space, kubelets, replicas=1)
    edit(space, scheduling={"nodeSelector": {"pool": "typo"}})
    why = space.wait_for_reason("bert", "Unschedulable")
    assert why.endswith("Until then 1 replica goes on answering.")
    assert space.status("bert")["rollout"]["because"].startswith("No node has room for the new version, not even")
    edit(space, scheduling=None)
    eventually(lambda: images(space) == ["server:2"], seconds=40)
    space.wait_for_reason("bert", "Serving", seconds=40)


@contextlib.contextmanager
def no_grant(server, operator):
    """An operator that may not read nodes."""
    operator.stop()
    server.kubectl("delete", "clusterrolebinding", "llminference-cluster-reader")
    operator.start()
    eventually(lambda: operator.is_ready() and operator.is_leader(), seconds=60)
    try:
        yield
    finally:
        server.kubectl("apply", "-k", READER)


def test_with_nodes_unread_a_replica_without_room_settles_it_even_where_not_all_of_them_fit(
    server, operator, space, nodes, kubelets
):
    nodes.make("full", more={GPU: "1"})
    with no_grant(server, operator):
        serve(space, kubelets, replicas=2, answering=1)
        edit(space)
        wait_for_mode(space, "Surge", "The nodes may not be read, so a new replica starts before")
        eventually(lambda: f"finds no free {GPU} beside the older ones" in space.status("bert")["why"])
        wait_for_mode(space, "Replace", "A new replica found no room beside the old ones")
        eventually(lambda: images(space) == ["server:2"] * 2, seconds=90)
        eventually(lambda: space.status("bert")["readyReplicas"] == 1, seconds=40)
