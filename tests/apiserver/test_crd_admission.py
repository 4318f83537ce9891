"""A real kube-apiserver judges the table of good and bad manifests; its words are part of the contract."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from llmi_testing.apiserver import ApiServer
from llmi_testing.manifests import ACCEPTED, CHANGES, REFUSED, SMALLEST, manifest

pytestmark = pytest.mark.apiserver
CRD = Path(__file__).parents[2] / "crds" / "llminferences.yaml"


@pytest.fixture(scope="module")
def server():
    with ApiServer() as server:
        server.kubectl("apply", "-f", str(CRD))
        server.wait_until_types_are_served()
        _wait_until_served(server)
        yield server


def _wait_until_served(server):
    deadline = time.monotonic() + 30
    while "llminferences" not in server.kubectl("api-resources", "--api-group=llminference.dev", "-o", "name"):
        assert time.monotonic() < deadline


def apply(server, body, *flags):
    program = [str(server._program("kubectl")), "--kubeconfig", str(server.kubeconfig)]
    argv = [*program, "apply", *flags, "-f", "-"]
    return subprocess.run(argv, input=json.dumps(body), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("body", [pytest.param(body, id=case) for case, body in ACCEPTED])
def test_the_server_accepts(server, body):
    done = apply(server, body, "--dry-run=server")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.case)
def test_the_server_refuses_and_names_field_and_rule(server, refused):
    done = apply(server, refused.body, "--dry-run=server")
    assert done.returncode != 0
    for words in refused.says:
        assert words in done.stderr


@pytest.mark.parametrize(("number", "change"), list(enumerate(CHANGES)), ids=[change.case for change in CHANGES])
def test_the_server_judges_an_edit_of_what_is_stored(server, number, change):
    name = f"edited-{number}"
    assert apply(server, manifest(change.old, name)).returncode == 0
    done = apply(server, manifest(change.new, name), "--dry-run=server")
    assert (done.returncode == 0) == (not change.says), done.stderr
    for words in change.says:
        assert words in done.stderr


def test_defaults_are_filled_in_when_stored(server):
    done = apply(server, manifest(SMALLEST), "--dry-run=server", "-o", "json")
    spec = json.loads(done.stdout)["spec"]
    assert spec["engine"] == {"name": "transformers", "precision": "auto"}
    assert spec["service"] == {"type": "ClusterIP", "port": 80}
    assert spec["rollout"] == {"mode": "Auto", "drainSeconds": 30, "startupTimeoutSeconds": 1800}
    assert spec["limits"]["maxQueuedRequests"] == 256
    assert "replicas" not in spec


def test_an_autoscaler_steers_to_cpu_unless_told_otherwise(server):
    done = apply(server, manifest({**SMALLEST, "autoscaling": {"maxReplicas": 2}}), "--dry-run=server", "-o", "json")
    assert json.loads(done.stdout)["spec"]["autoscaling"]["targets"] == {"cpuPercent": 70}


@pytest.mark.parametrize("path", sorted((CRD.parents[1] / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_server_accepts_every_example(server, path):
    done = apply(server, yaml.safe_load(path.read_text()), "--dry-run=server")
    assert done.returncode == 0, done.stderr


def test_plain_client_side_apply_works_twice_on_the_crd_itself(server):
    # kubectl stores the whole manifest in an annotation, which may hold 256 KiB.
    assert CRD.stat().st_size < 100_000
    assert "unchanged" in server.kubectl("apply", "-f", str(CRD))


def test_the_resource_has_a_short_name_a_category_and_a_scale(server):
    assert apply(server, manifest(SMALLEST, name="scaled")).returncode == 0
    assert "scaled" in server.kubectl("get", "llmi")
    assert "scaled" in server.kubectl("get", "inference")
    server.kubectl("scale", "llmi/scaled", "--replicas=3")
    assert server.kubectl("get", "llmi", "scaled", "-o", "jsonpath={.spec.replicas}") == "3"


def test_the_columns_are_the_ones_that_the_documentation_shows(server):
    header = server.kubectl("get", "llmi").splitlines()[0].split()
    assert header == ["NAME", "MODEL", "ENGINE", "READY", "URL", "WHY", "AGE"]


def test_every_field_explains_itself(server):
    text = server.kubectl("explain", "llmi.spec", "--recursive=false")
    assert "The Service in front of the replicas." in text
    assert "<no description>" not in server.kubectl("explain", "llmi.spec.model")
