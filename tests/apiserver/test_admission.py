"""Pods that the namespace or a policy of the cluster does not admit: what refuses them is said, with its numbers."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]


def is_refused(space):
    """Whether a pod would be refused that passes Pod Security `restricted`."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "image": "a", "securityContext": security}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    try:
        space.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    except AssertionError as error:
        return "forbidden" in str(error) or "denied" in str(error)
    return False


@pytest.fixture
def policy(space):
    """A function that puts a policy on the pods of the namespace."""
    made = []

    def make(kind, spec):
        api = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": space.namespace}}
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        selector = {"matchLabels": {"kubernetes.io/metadata.name": space.namespace}}
        match = {"resourceRules": [rule], "namespaceSelector": selector}
        binding = {"policyName": space.namespace}
        if kind.startswith("Validating"):
            binding["validationActions"] = ["Deny"]
        for name, body in ((kind, {"matchConstraints": match, **spec}), (f"{kind}Binding", binding)):
            space.apply({**api, "kind": name, "spec": body})
            made.append(name)
        eventually(lambda: is_refused(space), "the API server goes by the policy", seconds=60)

    yield make
    for kind in made:
        space.server.kubectl("delete", kind, space.namespace, "--ignore-not-found")


def test_a_quota_that_allows_no_pod(space):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"memory": "1Gi"}},
    }
    space.apply(quota)
    eventually(lambda: "hard" in space.need("resourcequota", "q").get("status", {}))
    space.apply(make_body())
    why = space.wait_for_reason("bert", "QuotaExceeded")
    assert "q, requested: memory=3Gi, used: memory=0, limited: memory=1Gi" in why


def test_a_limit_range_that_allows_no_pod(space):
    limits = {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]}
    space.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": limits})
    space.apply(make_body())
    why = space.wait_for_reason("bert", "LimitRangeExceeded")
    assert "maximum memory usage per Container is 1Gi, but limit is 3Gi" in why


def test_pods_that_a_policy_makes_break_pod_security(space, policy):
    space.server.kubectl("label", "ns", space.namespace, "pod-security.kubernetes.io/enforce=restricted")
    policy("MutatingAdmissionPolicy", {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": "Object{spec: Object.spec{hostNetwork: true}}"},
        }],
    })  # fmt: skip
    space.apply(make_body())
    why = space.wait_for_reason("bert", "PodSecurityRefused", seconds=60)
    assert "violates PodSecurity" in why
    assert "Look for a webhook that changes pods" in why


def test_pods_that_another_policy_refuses(space, policy):
    rule = {"expression": "false", "message": "not on Fridays"}
    policy("ValidatingAdmissionPolicy", {"failurePolicy": "Fail", "validations": [rule]})
    space.apply(make_body())
    why = space.wait_for_reason("bert", "Refused", seconds=60)
    assert "not on Fridays" in why
