"""Pods that the namespace or a policy of the cluster does not admit: what refuses them is said, with its numbers."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]


def try_pod(space):
    """What would become of a pod that passes Pod Security `restricted`."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "image": "a", "securityContext": security}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    return json.loads(space.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(pod)))


def is_refused(space):
    """Whether a pod would be refused."""
    try:
        try_pod(space)
    except AssertionError as error:
        return "violates PodSecurity" in str(error) or "denied request" in str(error)
    return False


def is_gated(space):
    """Whether a pod would be held back."""
    return "schedulingGates" in try_pod(space)["spec"]


@pytest.fixture
def policy(space):
    """A function that puts a policy on the pods of the namespace."""
    # Without it every pod is refused, and no policy is needed for that.
    eventually(lambda: space.get("serviceaccount", "default"), "pods may be made here")
    made = []

    def make(kind, spec, until=is_refused):
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
        eventually(lambda: until(space), "the API server goes by the policy", seconds=60)

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


def test_a_runtime_class_that_does_not_exist(space):
    space.apply(make_body(scheduling={"runtimeClassName": "nvidia"}))
    assert space.wait_for_reason("bert", "Refused", seconds=60) == (
        "There is no RuntimeClass nvidia: correct spec.scheduling.runtimeClassName, or have the class made."
    )


def test_pods_that_a_queue_holds_back(space, policy):
    """Kueue adds its gate to each pod of a Deployment that has its label; here a policy does so in its place."""
    gate = 'Object.spec.schedulingGates{name: "kueue.x-k8s.io/admission"}'
    policy("MutatingAdmissionPolicy", {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": f"Object{{spec: Object.spec{{schedulingGates: [{gate}]}}}}"},
        }],
    }, until=is_gated)  # fmt: skip
    space.apply(make_body(scheduling={"queueName": "gpus"}))
    why = space.wait_for_reason("bert", "Queued", seconds=60)
    assert "waits in the queue gpus until Kueue admits it" in why
    assert space.condition("bert", "Progressing")["status"] == "True"
    assert space.need("deployment", "bert")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    space.apply(make_body())
    eventually(lambda: "held back by a scheduling gate" in space.status("bert")["why"])
    assert "kueue.x-k8s.io/queue-name" not in space.need("deployment", "bert")["metadata"]["labels"]


def test_pods_that_another_policy_refuses(space, policy):
    rule = {"expression": "false", "message": "not on Fridays"}
    policy("ValidatingAdmissionPolicy", {"failurePolicy": "Fail", "validations": [rule]})
    space.apply(make_body())
    why = space.wait_for_reason("bert", "Refused", seconds=60)
    assert "not on Fridays" in why
