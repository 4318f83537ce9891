"""``kubectl llminference`` on a real cluster: all four commands against a model that serves behind an API key."""

import json

import pytest

from llmi_testing.manifests import manifest
from llmi_testing.plugin import Plugin


@pytest.fixture(scope="module")
def plugin(shared, tmp_path_factory):
    kubeconfig = tmp_path_factory.mktemp("plugin") / "kubeconfig"
    kubeconfig.write_text(shared.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    shared("create", "secret", "generic", "keys", "--from-literal=api-key=first")
    # Nobody may call it; a forwarded port needs no hole in its NetworkPolicy.
    access = {"apiKeySecret": {"name": "keys"}, "allowFrom": [{"podLabels": {"app": "nobody"}}]}
    shared.apply("tiny", access=access)
    shared.wait_ready("tiny")
    return Plugin(kubeconfig, shared.namespace, shared.kubectl.program.parent)


def test_status_try_logs_and_plan_tell_the_truth_about_a_model_that_serves(shared, plugin, tmp_path):
    seen = plugin.read("status", "tiny")
    assert (seen["ready"], seen["reason"]) == ("1/1", "Serving")
    assert seen["replicas"][0]["state"] == "serving"
    # Asked through a forwarded port, which needs neither a key nor a hole in its NetworkPolicy.
    assert (seen["used"]["replicas"], seen["notes"]) == (1, [])
    assert seen["used"]["peakMemoryBytes"] >= 100 * 2**20
    assert "too short a time for advice" in plugin("status", "tiny")
    assert "1/1 ready (Serving)" in plugin("status", "tiny").splitlines()[0]

    refused = plugin.run("try", "tiny")
    assert refused.returncode == 4
    assert "--api-key-file" in refused.stderr
    key = tmp_path / "key"
    key.write_text("first")
    answer = plugin.read("try", "tiny", "--api-key-file", str(key))
    assert "paris" in answer["summary"][0]
    assert "paris" in plugin("try", "tiny", "--api-key-file", str(key))

    pod = seen["replicas"][0]["name"]
    lines = [json.loads(line) for line in plugin("logs", "tiny", "--tail", "5", "-o", "json").splitlines()]
    assert lines
    assert {(line["replica"], line["container"]) for line in lines} == {(pod, "server")}

    def plan(**spec):
        body = shared.get("llmi", "tiny")["spec"]
        text = json.dumps(manifest({**body, **spec}, name="tiny"))
        return plugin.read("plan", "-f", "-", stdin=text)["changes"][0]

    assert {step["action"] for step in plan()["steps"]} == {"keep"}
    change = plan(limits={"maxQueuedRequests": 7})
    assert (change["restarted"], change["devices"]) == (1, [])
    assert change["gap"].startswith("None")
    # The plan only looked.
    assert shared.get("llmi", "tiny")["metadata"]["generation"] == 1
