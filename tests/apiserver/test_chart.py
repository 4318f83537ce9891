"""What the chart renders, by Helm 3 and by Helm 4, is what the kustomize bases give."""

import os
import subprocess
from functools import cache
from itertools import product

import pytest
import yaml

from llmi_api import labels
from llmi_api.launch import HTTP_PORT
from llmi_testing.apiserver import find_programs
from llmi_testing.helm import CHART, MAJORS, ROOT, Helm

pytestmark = pytest.mark.apiserver
DEPLOY = ROOT / "deploy"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"helm{major}")
def helm(request):
    return Helm(request.param)


@cache
def programs():
    return find_programs()


def kustomize(path):
    argv = [str(programs() / "kubectl"), "kustomize", str(path)]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [body for body in yaml.safe_load_all(text) if body]


def overlay(folder, namespace, *bases):
    resources = [os.path.relpath(DEPLOY / base, folder) for base in bases]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": namespace, "resources": resources}))
    return kustomize(folder)


def by_identity(bodies):
    """Index manifests; what Helm and kustomize must write in other words is put into the same ones."""
    index = {}
    for body in bodies:
        metadata = body["metadata"]
        if metadata.get("annotations", {}).pop("helm.sh/resource-policy", None) and not metadata["annotations"]:
            del metadata["annotations"]
        if body["kind"] == "Deployment":
            (container,) = body["spec"]["template"]["spec"]["containers"]
            container["env"] = {variable.pop("name"): variable for variable in container["env"]}
        index[body["kind"], metadata.get("namespace"), metadata["name"]] = body
    assert len(index) == len(bodies)
    return index


def container(bodies):
    (deployment,) = [body for body in bodies if body["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]["containers"][0]


def kinds(bodies):
    return {body["kind"] for body in bodies}


def test_lint_finds_nothing(helm):
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_the_defaults_are_the_cluster_wide_base(helm):
    rendered, base = by_identity(helm.template("llminference-system")), by_identity(kustomize(DEPLOY))
    # Helm makes the release's namespace itself, or finds it.
    del base["Namespace", None, "llminference-system"]
    assert rendered == base


def test_the_namespace_of_the_release_alone_is_the_namespaced_base(helm, tmp_path):
    rendered = by_identity(helm.template("team-a", watchNamespaces=["team-a"], **{"crds.install": False}))
    base = by_identity(overlay(tmp_path, "team-a", "namespaced"))
    (pod,) = base["Deployment", "team-a", "llminference-operator"]["spec"]["template"]["spec"]["containers"]
    # The base must not know the namespace; an overlay chooses it.
    assert pod["env"].pop("LLMI_OPERATOR_NAMESPACES") == {
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}
    }
    pod["env"]["LLMI_OPERATOR_NAMESPACES"] = {"value": "team-a"}
    assert rendered == base


def test_the_optional_reader_is_the_same(helm, tmp_path):
    with_reader = by_identity(helm.template("llminference-system", **{"clusterReader.enabled": True}))
    without = by_identity(helm.template("llminference-system"))
    added = {identity: body for identity, body in with_reader.items() if identity not in without}
    assert added == by_identity(kustomize(DEPLOY / "cluster-reader"))


def test_the_optional_metrics_adapter_is_the_same(helm):
    with_adapter = by_identity(helm.template("llminference-system", **{"metricsAdapter.enabled": True}))
    without = by_identity(helm.template("llminference-system"))
    added = {identity: body for identity, body in with_adapter.items() if identity not in without}
    assert added == by_identity(kustomize(DEPLOY / "metrics-adapter"))


def test_traces_are_the_same_as_by_the_component(helm, tmp_path):
    values = {"tracing.endpoint": "http://collector.observability:4318"}
    rendered = by_identity(helm.template("llminference-system", **values))
    bases = {"resources": DEPLOY, "components": DEPLOY / "observability" / "tracing" / "operator"}
    written = {kind: [os.path.relpath(path, tmp_path)] for kind, path in bases.items()}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(written))
    base = by_identity(kustomize(tmp_path))
    del base["Namespace", None, "llminference-system"]
    assert rendered == base


def test_a_closed_network_is_opened_to_the_collector_where_traces_are_on(helm):
    closed = {"networkPolicy.apiServer": [{"cidr": "10.0.0.1/32", "port": 6443}]}

    def ports(**values):
        bodies = helm.template("llminference-system", **closed, **values)
        (policy,) = [body for body in bodies if body["kind"] == "NetworkPolicy"]
        return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

    assert ports(**{"tracing.endpoint": "http://collector.observability:4318"}) - ports() == {4318}


def test_readers_of_two_namespaces_do_not_take_each_others_place(helm):
    names = [
        {
            body["metadata"]["name"]
            for body in helm.template(team, watchNamespaces=[team], **values)
            if "Cluster" in body["kind"]
        }
        for team, values in product(("team-a", "team-b"), [{"crds.install": False, "clusterReader.enabled": True}])
    ]
    assert names == [{"llminference-cluster-reader-team-a"}, {"llminference-cluster-reader-team-b"}]


def test_several_namespaces_each_get_a_role_bound_to_the_one_account(helm):
    bodies = helm.template("ml-ops", watchNamespaces=["a", "b"], **{"crds.install": False})
    assert not {kind for kind in kinds(bodies) if kind.startswith("Cluster")}
    roles = {
        body["metadata"]["namespace"]
        for body in bodies
        if body["metadata"]["name"] == "llminference-operator" and body["kind"] == "Role"
    }
    assert roles == {"a", "b"}
    for body in bodies:
        if body["kind"] == "RoleBinding":
            assert body["subjects"] == [
                {"kind": "ServiceAccount", "name": "llminference-operator", "namespace": "ml-ops"}
            ]
    assert {"name": "LLMI_OPERATOR_NAMESPACES", "value": "a,b"} in container(bodies)["env"]


def test_the_resource_type_stays_when_the_release_goes_unless_it_shall_not(helm):
    def kept(bodies):
        return {
            body["kind"]
            for body in bodies
            if body["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        }

    assert kept(helm.template("x")) == {"CustomResourceDefinition", "ClusterRole"}
    assert kept(helm.template("x", **{"crds.keep": False})) == set()
    assert "CustomResourceDefinition" not in kinds(helm.template("x", **{"crds.install": False}))


def test_images_go_by_digest_before_tag(helm):
    images = {
        "image.repository": "reg.example.com/op",
        "image.tag": "1",
        "serverImage.repository": "reg.example.com/srv",
    }
    by_tag = container(helm.template("x", **images, **{"serverImage.tag": "2"}))
    assert by_tag["image"] == "reg.example.com/op:1"
    assert {"name": "LLMI_OPERATOR_SERVER_IMAGE", "value": "reg.example.com/srv:2"} in by_tag["env"]
    by_digest = container(helm.template("x", **images, **{"image.digest": DIGEST, "serverImage.digest": DIGEST}))
    assert by_digest["image"] == f"reg.example.com/op@{DIGEST}"
    assert {"name": "LLMI_OPERATOR_SERVER_IMAGE", "value": f"reg.example.com/srv@{DIGEST}"} in by_digest["env"]


def test_settings_become_variables(helm):
    pod = container(
        helm.template(
            "x", settings={"defaultMemory": "4Gi", "resyncSeconds": 1200}, **{"serverImage.pullPolicy": "Always"}
        )
    )
    values = {variable["name"]: variable.get("value") for variable in pod["env"]}
    assert values["LLMI_OPERATOR_DEFAULT_MEMORY"] == "4Gi"
    assert values["LLMI_OPERATOR_RESYNC_SECONDS"] == "1200"
    assert values["LLMI_OPERATOR_IMAGE_PULL_POLICY"] == "Always"


def test_a_single_operator_has_no_disruption_budget_that_would_hold_a_drain_up(helm):
    assert "PodDisruptionBudget" not in kinds(helm.template("x", replicas=1))
    assert "PodDisruptionBudget" in kinds(helm.template("x"))


def test_an_operator_that_is_told_the_api_server_may_call_it_dns_and_models_only(helm):
    bodies = helm.template("x", **{"networkPolicy.apiServer": [{"cidr": "10.0.0.1/32", "port": 6443}]})
    (policy,) = [body for body in bodies if body["kind"] == "NetworkPolicy"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    dns, models, api = policy["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert models["to"][0]["podSelector"] == {"matchLabels": {labels.COMPONENT_LABEL: labels.COMPONENT}}
    assert models["ports"] == [{"protocol": "TCP", "port": HTTP_PORT}]
    assert api == {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 6443}]}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 2}, "replica"),
        ({"replicas": 0}, "replicas"),
        ({"watchNamespaces": ["Team A"]}, "watchNamespaces"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"image.digest": "sha256:short"}, "digest"),
        ({"settings": {"defaultMemry": "4Gi"}}, "settings"),
        ({"networkPolicy.apiServer": [{"cidr": "kubernetes.default", "port": 443}]}, "cidr"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(helm, values, named):
    words = [word for name, value in values.items() for word in ("--set-json", f"{name}={yaml.safe_dump(value)}")]
    complaint = helm("template", "x", str(CHART), *words, fails=True)
    assert named in complaint, complaint


def test_nothing_that_is_rendered_may_touch_a_secret_or_everything(helm, tmp_path):
    sources = [
        kustomize(DEPLOY),
        kustomize(DEPLOY / "cluster-reader"),
        kustomize(DEPLOY / "metrics-adapter"),
        overlay(tmp_path, "team-a", "namespaced", "crd"),
        helm.template("x", **{"clusterReader.enabled": True, "metricsAdapter.enabled": True}),
        helm.template("x", watchNamespaces=["x", "y"], **{"clusterReader.enabled": True}),
    ]
    rules = [rule for bodies in sources for body in bodies for rule in body.get("rules") or ()]
    assert len(rules) > 50
    for rule in rules:
        words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not [word for word in words if "*" in word or "secret" in word], rule
