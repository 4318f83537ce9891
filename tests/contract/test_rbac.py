"""The operator's rights are exactly those it uses, and its pods are as restricted as those it makes."""

from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from llmi_operator.kinds import CHILDREN, INFERENCE, LASTING, WATCHED
from llmi_operator.metrics_api.registration import NAME, VERSIONS, make_name

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "chart" / "llminference"
DANGEROUS_VERBS = {"*", "escalate", "bind", "impersonate", "deletecollection"}
# Reading nodes is a grant of its own. Whoever can patch any of the others owns the cluster or what runs in it.
DANGEROUS_RESOURCES = {"*", "secrets", "nodes", "pods/exec", "serviceaccounts/token", "roles", "clusterroles"}
MANIFESTS = [path for path in sorted(DEPLOY.rglob("*.yaml")) if not path.is_relative_to(CHART)]
FOR_PEOPLE = DEPLOY / "crd" / "user-roles.yaml"
INSTALL = DEPLOY.parent / "docs" / "install.md"
SCALING = DEPLOY.parent / "docs" / "scaling.md"
READER = DEPLOY / "cluster-reader" / "role.yaml"
ADAPTER = DEPLOY / "metrics-adapter" / "role.yaml"
PROMETHEUS = DEPLOY / "observability" / "prometheus" / "role.yaml"


def documents(path):
    return [body for body in yaml.safe_load_all(path.read_text()) if body]


def read_rules(path):
    return documents(path)[0]["rules"]


ROLES = {name: read_rules(DEPLOY / name / "role.yaml") for name in ("cluster-wide", "namespaced")}
ROLES["chart"] = documents(CHART / "files" / "rules.yaml")[0]


def every_rule():
    for path in MANIFESTS:
        for body in documents(path):
            for rule in body.get("rules", []) if body.get("kind") in {"Role", "ClusterRole"} else []:
                yield path, rule


def granted(rules):
    verbs = defaultdict(set)
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                verbs[group, resource] |= set(rule["verbs"])
    return dict(verbs)


def needed():
    verbs = {(kind.group, kind.plural): {"list", "watch"} for kind in WATCHED}
    # Before a pass writes, it reads its resource anew.
    verbs[INFERENCE.group, INFERENCE.plural] |= {"get"}
    verbs[INFERENCE.group, f"{INFERENCE.plural}/status"] = {"patch"}
    verbs[INFERENCE.group, f"{INFERENCE.plural}/finalizers"] = {"update"}
    verbs["", "events"] |= {"create"}
    for kind in CHILDREN:
        verbs[kind.group, kind.plural] |= {"get", "create", "patch"}
        # Lasting children go with their owner, by the garbage collector.
        verbs[kind.group, kind.plural] |= set() if kind in LASTING else {"delete"}
    return verbs


def test_no_rule_reaches_for_what_would_hand_over_the_cluster():
    rules = [(path, rule) for path, rule in every_rule() if path not in {FOR_PEOPLE, READER, ADAPTER, PROMETHEUS}]
    assert len(rules) > 10
    for path, rule in rules:
        assert not DANGEROUS_VERBS & set(rule["verbs"]), path
        assert not DANGEROUS_RESOURCES & set(rule["resources"]), path
        assert "*" not in rule["apiGroups"], path


def test_prometheus_only_reads_where_pods_and_nodes_are_and_what_the_kubelets_tell():
    rules = documents(PROMETHEUS)[1]["rules"]
    assert granted(rules) == {
        ("", "pods"): {"get", "list", "watch"},
        ("", "nodes"): {"get", "list", "watch"},
        ("", "nodes/metrics"): {"get"},
    }


@pytest.mark.parametrize("name", ROLES)
def test_the_rights_are_exactly_those_that_the_code_uses(name):
    assert granted(ROLES[name]) == needed()


def test_the_rules_are_the_same_however_they_are_installed():
    assert ROLES["cluster-wide"] == ROLES["namespaced"] == ROLES["chart"]


def table(marker, page=INSTALL):
    """Read a table of a page: rights by group and resource."""
    lines = page.read_text().split(f"<!-- {marker} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    verbs = {}
    for line in lines:
        group, resources, allowed, _ = (cell.strip() for cell in line.strip("|").split("|"))
        for resource in resources.split(", "):
            verbs["" if group == "core" else group.strip("`"), resource.strip("`")] = set(allowed.split(", "))
    return verbs


def test_the_documentation_lists_the_rights_as_they_are():
    assert table("rights") == granted(ROLES["cluster-wide"])
    assert table("reader") == granted(read_rules(READER))


def test_the_optional_reader_only_reads_what_has_no_secrets():
    rights = granted(read_rules(READER))
    assert {verb for verbs in rights.values() for verb in verbs} <= {"get", "list", "watch"}
    assert not {resource for _, resource in rights} & {"*", "secrets", "configmaps"}


def test_the_metrics_adapter_lists_pods_and_may_otherwise_touch_only_what_is_named():
    free, *named = read_rules(ADAPTER)
    assert free == {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    assert [(rule["resources"], rule["resourceNames"], rule["verbs"]) for rule in named] == [
        (["apiservices"], [make_name(version) for version in VERSIONS], ["get"]),
        (["apiservices"], [make_name()], ["create", "patch", "delete"]),
        (["clusterroles"], [NAME], ["get"]),
    ]
    assert table("adapter", SCALING) == granted(read_rules(ADAPTER))
    kinds = {(body["kind"], body["metadata"].get("namespace")) for body in documents(ADAPTER)}
    assert kinds == {("ClusterRole", None), ("ClusterRoleBinding", None), ("RoleBinding", "kube-system")}


def test_the_roles_of_people_join_the_clusters_own():
    bodies = documents(FOR_PEOPLE)
    labels = {
        body["metadata"]["name"]: [label for label in body["metadata"]["labels"] if "aggregate-to-" in label]
        for body in bodies
    }
    assert labels == {
        "llminference-viewer": ["rbac.authorization.k8s.io/aggregate-to-view"],
        "llminference-editor": ["rbac.authorization.k8s.io/aggregate-to-edit"],
        "llminference-admin": ["rbac.authorization.k8s.io/aggregate-to-admin"],
    }
    for body in bodies:
        rights = granted(body["rules"])
        assert {group for group, _ in rights} == {INFERENCE.group}
        assert not {verb for verbs in rights.values() for verb in verbs} & {"*"}
        assert rights[INFERENCE.group, f"{INFERENCE.plural}/status"] <= {"get", "list", "watch"}


def test_namespaced_needs_nothing_outside_its_namespace():
    kinds = {
        body["kind"]
        for path in (DEPLOY / "namespaced", DEPLOY / "operator")
        for file in path.glob("*.yaml")
        for body in documents(file)
    }
    assert not {kind for kind in kinds if kind.startswith("Cluster")}
    assert "Namespace" not in kinds


@pytest.mark.parametrize(("folder", "replicas"), [("operator", 2), ("metrics-adapter", 1)])
def test_our_own_pods_are_restricted(folder, replicas):
    (body,) = documents(DEPLOY / folder / "deployment.yaml")
    pod = body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == f"llminference-{folder}"
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert body["spec"]["replicas"] == replicas
