"""Manifests of logging, tracing and kube-state-metrics as a real API server takes them; nothing of them runs here."""

import subprocess

import pytest
import yaml

from llmi_testing.apiserver import find_programs
from llmi_testing.helm import ROOT
from llmi_testing.module_files import find_module_file

pytestmark = pytest.mark.apiserver
FOLDER = ROOT / "deploy" / "observability"
ECK = "github.com/elastic/cloud-on-k8s/v3"
TYPES_OF_ECK = ("elasticsearch.k8s.elastic.co_elasticsearches", "kibana.k8s.elastic.co_kibanas")


def build(path):
    argv = [str(find_programs() / "kubectl"), "kustomize", str(FOLDER / path)]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [body for body in yaml.safe_load_all(text) if body]


@pytest.fixture(scope="module")
def types_of_eck(control_plane):
    """ECK's own types, for the length of the module."""
    files = [find_module_file("eck", ECK, f"config/crds/v1/resources/{name}.yaml") for name in TYPES_OF_ECK]
    words = [word for file in files for word in ("-f", str(file))]
    control_plane.kubectl("create", *words)
    control_plane.wait_until_types_are_served()
    yield
    control_plane.kubectl("delete", *words)


@pytest.mark.parametrize("path", ["logging", "logging/efk", "logging/eck", "tracing"])
def test_the_api_server_takes_every_object_and_knows_every_field(control_plane, types_of_eck, path):
    bodies = build(path)
    (namespace,) = [body for body in bodies if body["kind"] == "Namespace"]
    name = namespace["metadata"]["name"]
    control_plane.kubectl("create", "-f", "-", stdin=yaml.safe_dump(namespace))
    others = [body for body in bodies if body["kind"] != "Namespace"]
    try:
        takes(control_plane, others)
    finally:
        control_plane.kubectl("delete", "namespace", name)


def test_the_api_server_takes_a_kube_state_metrics_of_our_own(control_plane):
    takes(control_plane, build("kube-state-metrics-standalone"))


def takes(control_plane, bodies):
    words = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"]
    text = control_plane.kubectl(*words, stdin=yaml.safe_dump_all(bodies))
    assert text.count("created") == len(bodies)


@pytest.mark.parametrize("path", ["logging", "logging/efk", "tracing"])
def test_services_policies_and_claims_lead_to_what_is_there(path):
    bodies = build(path)
    pods = [body["spec"]["template"] for body in bodies if "template" in body.get("spec", {})]
    ports = {port["name"] for pod in pods for one in pod["spec"]["containers"] for port in one.get("ports", [])}
    names = {(body["kind"], body["metadata"]["name"]) for body in bodies}
    for body in bodies:
        if body["kind"] == "Service":
            selector = body["spec"]["selector"].items()
            assert any(selector <= pod["metadata"]["labels"].items() for pod in pods), body["metadata"]["name"]
            assert {port["targetPort"] for port in body["spec"]["ports"]} <= ports
    for pod in pods:
        for volume in pod["spec"].get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names


def test_with_eck_shipper_and_setup_speak_tls_to_its_elasticsearch():
    bodies = {(body["kind"], body["metadata"]["name"]): body for body in build("logging/eck")}
    assert {("Elasticsearch", "logs"), ("Kibana", "logs")} <= bodies.keys()
    for kind, name in (("Job", "log-setup"), ("DaemonSet", "fluent-bit")):
        pod = bodies[kind, name]["spec"]["template"]["spec"]
        values = {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][0]["env"]}
        assert {"secretKeyRef": {"name": "logs-es-elastic-user", "key": "elastic"}} in values.values()
        assert "/ca/ca.crt" in values.values()
        assert any("logs-es-http" in str(value) for value in values.values())
        assert {"name": "ca", "secret": {"secretName": "logs-es-http-certs-public"}} in pod["volumes"]
