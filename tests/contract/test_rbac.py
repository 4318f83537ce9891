"""The operator's rights are exactly those it uses, and its pods are as restricted as those it makes."""

from pathlib import Path

import pytest
import yaml

from llmi_operator.kinds import CHILDREN, INFERENCE, WATCHED

DEPLOY = Path(__file__).parents[2] / "deploy"
ROLES = {name: DEPLOY / name / "role.yaml" for name in ("cluster-wide", "namespaced")}
DANGEROUS_VERBS = {"*", "escalate", "bind", "impersonate", "deletecollection"}
DANGEROUS_RESOURCES = {"*", "secrets", "configmaps", "nodes", "pods/exec", "roles", "clusterroles", "serviceaccounts"}


def documents(path):
    return [body for body in yaml.safe_load_all(path.read_text()) if body]


def every_rule():
    for path in DEPLOY.rglob("*.yaml"):
        for body in documents(path):
            for rule in body.get("rules", []) if body["kind"] in {"Role", "ClusterRole"} else []:
                yield path.relative_to(DEPLOY), rule


def granted(path):
    rules = documents(path)[0]["rules"]
    return {
        (group, resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def needed():
    verbs = {(kind.group, kind.plural): {"list", "watch"} for kind in WATCHED}
    verbs[INFERENCE.group, INFERENCE.plural] |= {"get"}
    verbs[INFERENCE.group, f"{INFERENCE.plural}/status"] = {"patch"}
    verbs[INFERENCE.group, f"{INFERENCE.plural}/finalizers"] = {"update"}
    verbs["", "events"] |= {"create"}
    for kind in CHILDREN:
        verbs[kind.group, kind.plural] |= {"get", "create", "patch"}
    # The only child that is ever taken away while its owner stays.
    verbs["autoscaling", "horizontalpodautoscalers"] |= {"delete"}
    return verbs


def test_no_rule_reaches_for_what_would_hand_over_the_cluster():
    rules = list(every_rule())
    assert len(rules) > 10
    for path, rule in rules:
        assert not DANGEROUS_VERBS & set(rule["verbs"]), path
        assert not DANGEROUS_RESOURCES & set(rule["resources"]), path
        assert "*" not in rule["apiGroups"], path


@pytest.mark.parametrize("name", ROLES)
def test_the_rights_are_exactly_those_that_the_code_uses(name):
    assert granted(ROLES[name]) == needed()


def test_namespaced_needs_nothing_outside_its_namespace():
    kinds = {
        body["kind"]
        for path in (DEPLOY / "namespaced", DEPLOY / "operator")
        for file in path.glob("*.yaml")
        for body in documents(file)
    }
    assert not {kind for kind in kinds if kind.startswith("Cluster")}
    assert "Namespace" not in kinds


def test_the_operators_pod_is_restricted():
    (body,) = documents(DEPLOY / "operator" / "deployment.yaml")
    pod = body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == "llminference-operator"
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert body["spec"]["replicas"] == 2
