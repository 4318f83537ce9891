"""KEDA's own operator on the ScaledObjects that ours makes. It takes minutes to build, so it runs with the long tests.

KEDA's metrics server does not run: an API server hands a part of its API to no address of the loopback. So KEDA decides
about zero and one here, and makes the autoscaler that decides about more.
"""

import contextlib
import json
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmi_api.launch import HTTP_PORT
from llmi_testing import keda_process
from llmi_testing.eventually import eventually, throughout
from llmi_testing.inference import make_body
from llmi_testing.keda import NAME, make_autoscaler
from llmi_testing.operator_process import OperatorProcess

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not keda_process.is_built(), reason="KEDA is not built: make soak does it"),
]
QUERY = 'sum(rate(gateway_no_replica_total{model="bert"}[1m]))'


class Answering(BaseHTTPRequestHandler):
    def answer(self, text, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Replica(Answering):
    """Answers as a replica with nothing to do."""

    asked = 0

    def do_GET(self):
        Replica.asked += self.path == "/metrics"
        self.answer("llmi_requests_in_flight 0.0\n", "text/plain")


class Prometheus(Answering):
    """Answers every query with one number."""

    number = 0
    asked = ()

    def do_GET(self):
        Prometheus.asked += tuple(urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)["query"])
        sample = {"metric": {}, "value": [time.time(), str(self.number)]}
        data = {"status": "success", "data": {"resultType": "vector", "result": [sample]}}
        self.answer(json.dumps(data), "application/json")


@contextlib.contextmanager
def serving(host, port, handler):
    with ThreadingHTTPServer((host, port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def prometheus():
    with serving("127.0.0.1", 0, Prometheus) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def replica_address():
    """An address of this machine that is none of the loopback: Kubernetes takes no such for a pod."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has only loopback addresses")
        own = one.getsockname()[0]
    with serving(own, HTTP_PORT, Replica):
        yield own


@pytest.fixture(scope="module")
def keda(control_plane, tmp_path_factory):
    with keda_process.running_keda(control_plane, tmp_path_factory.mktemp("keda")) as log:
        yield log


@pytest.fixture(scope="module", autouse=True)
def operators(keda, account, tmp_path_factory):
    """Ours, which has found KEDA's type at its start."""
    with OperatorProcess(account, tmp_path_factory.mktemp("operator") / "log") as process:
        eventually(process.is_leader)
        yield


def show_endpoint(space, address):
    """In the place of the controller, which lists no pod without a node."""
    labels = {"kubernetes.io/service-name": "bert", "endpointslice.kubernetes.io/managed-by": "test"}
    slice_of_bert = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "bert-by-hand", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": HTTP_PORT, "protocol": "TCP"}],
    }
    space.apply(slice_of_bert)


def condition(space, kind):
    body = space.need(NAME, "bert")
    found = {item["type"]: item for item in body.get("status", {}).get("conditions", [])}
    return found.get(kind, {})


def replicas(space):
    return space.need("deployment", "bert")["spec"]["replicas"]


def owners_of_replicas(space):
    entries = space.need("deployment", "bert")["metadata"]["managedFields"]
    return {item["manager"] for item in entries if "f:replicas" in item.get("fieldsV1", {}).get("f:spec", {})}


def test_keda_is_content_with_ours_makes_its_autoscaler_and_only_that_scales(space, written):
    targets = {"cpuPercent": 60, "memoryPercent": 80}
    space.apply(make_body(autoscaling={"backend": "keda", "minReplicas": 2, "maxReplicas": 6, "targets": targets}))
    eventually(lambda: space.get(NAME, "bert"), seconds=60)
    eventually(lambda: condition(space, "Ready").get("status") == "True", seconds=60)
    made = eventually(lambda: space.get("hpa", "keda-hpa-bert"), seconds=60)
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (2, 6)
    assert made["spec"]["scaleTargetRef"]["name"] == "bert"
    assert [item["type"] for item in made["spec"]["metrics"]] == ["ContainerResource", "ContainerResource"]
    # The pace is ours, not KEDA's.
    ours = space.need(NAME, "bert")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert (
        made["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"]
        == (ours["scaleDown"]["stabilizationWindowSeconds"])
    )
    eventually(lambda: replicas(space) == 2 and "llminference-operator" not in owners_of_replicas(space), seconds=60)
    space.wait_for_pods(2)
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving", seconds=60)
    before = len(written(space.namespace))
    space.kubectl("scale", "deployment", "bert", "--replicas=5")
    throughout(lambda: replicas(space) == 5, seconds=5)
    assert ("patch", "deployments", "") not in written(space.namespace)[before:]


def test_the_autoscaler_that_other_tests_play_is_the_one_that_keda_makes(space):
    targets = {"inFlightPerReplica": 10}
    space.apply(make_body(autoscaling={"backend": "keda", "minReplicas": 1, "maxReplicas": 6, "targets": targets}))
    made = eventually(lambda: space.get("hpa", "keda-hpa-bert"), seconds=60)
    played = make_autoscaler(space.need(NAME, "bert"))
    assert played["metadata"]["ownerReferences"] == made["metadata"]["ownerReferences"]
    assert (played["spec"]["minReplicas"], played["spec"]["maxReplicas"]) == (
        made["spec"]["minReplicas"],
        made["spec"]["maxReplicas"],
    )
    assert played["spec"]["scaleTargetRef"].items() <= made["spec"]["scaleTargetRef"].items()
    name = made["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert played["spec"]["metrics"][0]["external"]["metric"]["name"] == name
    assert played["spec"]["metrics"][0]["external"]["target"] == made["spec"]["metrics"][0]["external"]["target"]
    assert played["metadata"]["labels"].items() <= made["metadata"]["labels"].items()
    # What it decides by is told as KEDA's.
    space.wait_for_pods(1)
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving", seconds=60)
    metrics = [{"type": "External", "external": {"metric": {"name": name}, "current": {"averageValue": "37"}}}]

    def told():
        status = {"currentReplicas": 1, "desiredReplicas": 4, "currentMetrics": metrics}
        space.patch("hpa", "keda-hpa-bert", {"status": status}, "--subresource=status")
        return space.status("bert").get("scaling", {})

    eventually(lambda: told().get("because") == "4: 37 in flight, target 10 each", seconds=60)
    assert "KEDA" in space.status("bert")["scaling"]["source"]


# That it goes to sleep needs a replica that answers: while a trigger fails, KEDA takes none away.
def test_keda_puts_a_model_to_sleep_and_a_query_wakes_it(space, prometheus, replica_address):
    Prometheus.number = 0
    autoscaling = {
        "backend": "keda",
        "minReplicas": 0,
        "maxReplicas": 3,
        "targets": {"inFlightPerReplica": 10},
        "scaleDownDelaySeconds": 60,
        "wakeUp": {"prometheus": {"serverAddress": prometheus, "query": QUERY}},
    }
    space.apply(make_body(autoscaling=autoscaling))
    space.wait_for_pods(1)
    space.make_pods_ready()
    show_endpoint(space, replica_address)
    eventually(lambda: Replica.asked, "KEDA asks the replica itself", seconds=90)
    eventually(lambda: condition(space, "Ready").get("status") == "True", "KEDA is content", seconds=40)
    why = space.wait_for_reason("bert", "ScaledToZero", seconds=180)
    assert why.startswith("No replica runs, because nothing asks for one: KEDA starts one when")
    assert replicas(space) == 0
    assert QUERY in Prometheus.asked
    space.delete("endpointslice", "bert-by-hand")
    # Nobody tells requests in flight now, which KEDA calls an error; it wakes all the same.
    Prometheus.number = 1
    eventually(lambda: replicas(space) == 1, seconds=120)
    space.wait_for_pods(1)
    space.make_pods_ready()
    # Its autoscaler is blind without KEDA's metrics server, which is told and keeps nobody from serving.
    eventually(lambda: space.condition("bert")["status"] == "True", seconds=60)
    assert "llminference-operator" not in owners_of_replicas(space)
