"""The metrics adapter under the account that deploy/ gives it; the test asks it as the API server would."""

import base64
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_operator.metrics_api.documents import ROOT
from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.json_lines import read_json_lines

pytestmark = pytest.mark.apiserver
DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = "llminference-metrics-adapter"
SYSTEM = "llminference-system"
ITS_OWN = "v1beta2.custom.metrics.k8s.io"
EXPOSITION = "llmi_requests_running 3.0\nllmi_requests_waiting 9.0\n"
RIGHTS = {
    ("list", "pods"), ("get", "apiservices"), ("patch", "apiservices"), ("delete", "apiservices"),
    ("get", "clusterroles"), ("get", "configmaps"),
}  # fmt: skip
"""All that it is given: creating is a part of patching an object that does not exist yet."""
OTHER = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1beta1.custom.metrics.k8s.io"},
    "spec": {
        "group": "custom.metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "monitoring", "name": "prometheus-adapter", "port": 443},
    },
}


class Replica(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(EXPOSITION.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def replica_port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def server():
    with ApiServer(controllers=True, audit=True) as server:
        server.kubectl("create", "namespace", SYSTEM)
        server.kubectl("apply", "-k", str(DEPLOY / "metrics-adapter"))
        server.kubectl("-n", SYSTEM, "delete", "deployment", "--all", "--wait=false")
        yield server


class Adapter:
    """The program as a process, and the questions that it is asked."""

    def __init__(self, server, log, replica_port):
        self._server, self._log, self._replica_port = server, log, replica_port
        self.port = free_port()

    def __enter__(self):
        settings = {"NAMESPACE": SYSTEM, "HOST": "127.0.0.1", "PORT": self.port, "POD_PORT": self._replica_port}
        environment = os.environ | {f"LLMI_METRICS_ADAPTER_{name}": str(value) for name, value in settings.items()}
        environment["KUBECONFIG"] = str(self._server.kubeconfig_for_service_account(NAME, SYSTEM))
        argv = [sys.executable, "-m", "llmi_operator.metrics_api"]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out, start_new_session=True)
        return self

    def __exit__(self, kind, error, traceback):
        self._process.terminate()
        self._process.wait(timeout=20)
        if error is not None:
            print(f"--- {self._log}\n{self._log.read_text()[-4000:]}")

    def says(self, words):
        eventually(lambda: words in self._log.read_text(), f"it says {words}", seconds=60)

    def read(self, path, *, certificate="front.crt"):
        context = ssl._create_unverified_context()  # noqa: S323 - its name is not that of this machine
        if certificate:
            path_of = self._server.folder / certificate
            context.load_cert_chain(path_of, path_of.with_suffix(".key"))
        with urllib.request.urlopen(f"https://127.0.0.1:{self.port}{path}", context=context, timeout=20) as answer:
            return answer.read().decode()

    def ask(self, path, *, certificate="front.crt"):
        try:
            return http.HTTPStatus.OK, json.loads(self.read(path, certificate=certificate))
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def adapter(server, replica_port, tmp_path_factory):
    with Adapter(server, tmp_path_factory.mktemp("adapter") / "log", replica_port) as adapter:
        adapter.says("Registered")
        yield adapter


def rights_used(server):
    """What the account asked of the API server, none of which may have been refused."""
    used = set()
    for entry in read_json_lines(server.audit_log):
        if entry["user"]["username"] == f"system:serviceaccount:{SYSTEM}:{NAME}" and "objectRef" in entry:
            assert entry["responseStatus"]["code"] != 403, entry
            used.add((entry["verb"], entry["objectRef"]["resource"]))
    return used


def make_replica(server, name, *, labels, phase="Running"):
    ours = {"app.kubernetes.io/managed-by": "llminference-operator", **labels}
    container = {"name": "server", "image": "x"}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": ours}, "spec": spec}
    server.kubectl("create", "-f", "-", stdin=json.dumps(body))
    status = {"status": {"phase": phase, "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    server.kubectl("patch", "pod", name, "--subresource=status", "-p", json.dumps(status))


def test_it_registers_with_a_certificate_that_vouches_for_it(server, adapter):
    found = json.loads(server.kubectl("get", "apiservice", ITS_OWN, "-o", "json"))["spec"]
    assert found["service"] == {"namespace": SYSTEM, "name": NAME, "port": 443}
    assert "insecureSkipTLSVerify" not in found
    authority = server.folder / "bundle.pem"
    authority.write_bytes(base64.b64decode(found["caBundle"]))
    host = f"{NAME}.{SYSTEM}.svc"
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{adapter.port}", "-CAfile", str(authority)]
    words += ["-verify_return_error", "-verify_hostname", host, "-servername", host]
    done = subprocess.run(words, input=b"", capture_output=True, check=False, timeout=20)
    assert b"Verify return code: 0 (ok)" in done.stdout, done.stdout.decode() + done.stderr.decode()


def test_it_tells_anybody_when_its_certificate_ends(server, adapter):
    found = json.loads(server.kubectl("get", "apiservice", ITS_OWN, "-o", "json"))["spec"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(found["caBundle"]))
    text = adapter.read("/metrics", certificate="")
    (line,) = [line for line in text.splitlines() if line.startswith("llmi_metrics_adapter_certificate_expiry")]
    assert int(float(line.split()[1])) == int(certificate.not_valid_after_utc.timestamp())


def test_it_tells_what_replicas_have_in_flight_by_selector_and_by_name(server, adapter):
    make_replica(server, "bert-1", labels={"app": "bert"})
    make_replica(server, "bert-2", labels={"app": "bert"})
    make_replica(server, "other", labels={"app": "other"})
    make_replica(server, "pending", labels={"app": "bert"}, phase="Pending")
    root = f"{ROOT}/namespaces/default/pods"
    status, found = adapter.ask(f"{root}/*/{IN_FLIGHT_METRIC}?labelSelector=app%3Dbert")
    assert status == 200
    assert {item["describedObject"]["name"]: item["value"] for item in found["items"]} == {
        "bert-1": "12",
        "bert-2": "12",
    }
    status, found = adapter.ask(f"{root}/other/{IN_FLIGHT_METRIC}")
    assert [item["value"] for item in found["items"]] == ["12"]
    assert adapter.ask(f"{root}/none/{IN_FLIGHT_METRIC}")[0] == 404
    assert "only llmi_requests_in_flight" in adapter.ask(f"{root}/*/other")[1]["message"]


def test_whoever_is_not_the_api_server_is_turned_away(server, adapter):
    server.sign(server.folder / "stranger.crt", "/CN=stranger", authority="front-ca")
    for certificate in ("stranger.crt", ""):
        status, said = adapter.ask(f"{ROOT}/namespaces/default/pods/*/{IN_FLIGHT_METRIC}", certificate=certificate)
        assert (status, said["reason"]) == (401, "Unauthorized")
    # Signed by the authority of users, not by that of the API server as a proxy: TLS itself ends it.
    with pytest.raises(OSError, match=r"(?i)alert|eof|reset|closed|broken"):
        adapter.ask(ROOT, certificate="admin.crt")


def test_it_makes_way_for_another_program_comes_back_and_leaves_nothing_behind(server, adapter):
    def registered():
        return server.kubectl("get", "apiservice", ITS_OWN, "--ignore-not-found")

    server.kubectl("create", "-f", "-", stdin=json.dumps(OTHER))
    adapter.says("Staying aside: v1beta1.custom.metrics.k8s.io is served by monitoring/prometheus-adapter")
    eventually(lambda: not registered(), "it is gone", seconds=60)
    server.kubectl("delete", "apiservice", OTHER["metadata"]["name"])
    eventually(registered, "it is back", seconds=60)
    assert rights_used(server) == RIGHTS
    server.kubectl("delete", "clusterrole", NAME)
    eventually(lambda: not registered(), "the registration goes with its role", seconds=60)
