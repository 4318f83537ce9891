"""Values of Secrets show nowhere but in their Secret, and a model's pod may ask the API server for nothing."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(180)]
CANARY = "canary-3f9a7c51"
ABOUT_ONESELF = {
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
}


def test_the_value_of_a_secret_shows_nowhere(space, operator):
    space.kubectl("create", "secret", "generic", "hub", f"--from-literal=token={CANARY}")
    space.kubectl("create", "secret", "generic", "keys", f"--from-literal=api-key={CANARY}")
    body = make_body(
        model={"id": "a/private", "tokenSecret": {"name": "hub", "key": "token"}},
        access={"apiKeySecret": {"name": "keys"}},
        autoscaling={"maxReplicas": 2},
    )
    space.apply(body)
    space.wait_for_pods(1)
    space.make_pods_ready()
    eventually(lambda: space.condition("bert").get("status") == "True")
    eventually(lambda: {item["reason"] for item in space.list("events")} >= {"Starting"})

    def everything():
        kinds = space.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        return space.kubectl("get", ",".join(kind for kind in kinds if kind != "secrets"), "-o", "json")

    # A kind that another test has just taken away may still be listed.
    words = eventually(everything)
    assert '"LLMInference"' in words
    assert '"Event"' in words
    assert CANARY not in words
    assert CANARY not in operator.log.read_text()
    assert CANARY not in operator.ask("/metrics")
    # The search itself works.
    assert space.get("secret", "hub")
    assert json.loads(space.kubectl("get", "secret", "hub", "-o", 'jsonpath="{.data.token}"'))


@pytest.mark.usefixtures("operator")
def test_the_account_of_a_models_pod_may_do_nothing(space):
    space.apply(make_body())
    (pod,) = space.wait_for_pods(1)
    assert pod["spec"]["automountServiceAccountToken"] is False
    account = pod["spec"]["serviceAccountName"]
    kubeconfig = space.server.kubeconfig_for_service_account(account, space.namespace)
    table = space.server.kubectl(
        "-n", space.namespace, "auth", "can-i", "--list", "--no-headers", kubeconfig=kubeconfig
    )
    resources = {line.split()[0] for line in table.splitlines() if not line.startswith((" ", "["))}
    assert resources == ABOUT_ONESELF
