"""One example by three engines, changed by one line while clients go on asking over one route.

``make test-engines``: vLLM's image takes minutes to build and to bring onto the nodes.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as client
import yaml

import deploy
import vllm_image
from docker_engine import has_image
from llmi_testing.live_cluster import MINILM, eventually

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not has_image(vllm_image.IMAGE), reason="no image of vLLM: make test-engines"),
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "one-line.yaml"
SETTING = "LLMI_OPERATOR_VLLM_CPU_IMAGE"
WAY = ("triton", "vllm", "transformers")
RATE = 10
START_SECONDS = 600
TEXTS = ["a cat", "a kitten", "a tax return"]
BODY = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": TEXTS[:1]}]}


@pytest.fixture
def operator_with_vllm(kubectl, audit):
    """An operator whose setting names the image of vLLM that was built here."""
    with audit.excused():
        set_image(kubectl, f"{SETTING}={vllm_image.tagged()}")
    yield
    with audit.excused():
        set_image(kubectl, f"{SETTING}-")


def set_image(kubectl, words):
    kubectl("-n", deploy.NAMESPACE, "set", "env", deploy.OPERATOR, words)
    kubectl("-n", deploy.NAMESPACE, "rollout", "status", deploy.OPERATOR, "--timeout=180s")


@pytest.fixture
def name(shared, operator_with_vllm):
    """The example as it is, but for a model that lies in an image here."""
    body = yaml.safe_load(EXAMPLE.read_text())
    body["spec"]["model"] = MINILM
    shared("apply", "-f", "-", stdin=json.dumps(body))
    shared.wait_ready(body["metadata"]["name"])
    return body["metadata"]["name"]


def embed(cluster, name):
    """What Triton's client, unmodified, is answered."""
    tensor = client.InferInput("text", [len(TEXTS), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(TEXTS, dtype=object).reshape(-1, 1))
    with cluster.forwarded(name) as address, client.InferenceServerClient(address) as triton:
        return triton.infer(name, [tensor]).as_numpy("embedding")


def appearance(cluster, name):
    """What a user, a client and a monitor see of it, whichever engine runs."""
    service = cluster.get("service", name)
    status = cluster.status(name)
    (pod,) = cluster.objects("pods", name)
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if key != "pod-template-hash"}
    return {
        "service": (service["metadata"]["uid"], service["metadata"]["labels"], service["spec"]),
        "url": status["url"],
        "why": status.get("why"),
        "conditions": {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]},
        "labels": (cluster.get("deployment", name)["metadata"]["labels"], labels),
    }


@pytest.mark.timeout(1800)
def test_one_line_leads_from_engine_to_engine_and_back_under_load_and_no_request_is_lost(shared, name):
    before, vectors = appearance(shared, name), embed(shared, name)
    assert not before["why"]
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    with shared.load(f"{before['url']}/v2/models/{name}/infer", rate=RATE, body=BODY) as load:
        for engine in WAY:
            shared.patch(name, engine={"name": engine})
            status = shared.wait_ready(name, START_SECONDS)
            assert status["engine"]["name"] == engine
            eventually(lambda: len(shared.objects("pods", name)) == 1, "those of the other engine are gone")
            assert appearance(shared, name) == before
            np.testing.assert_allclose(embed(shared, name), vectors, atol=0.02)
    assert load.result["failed"] == 0, json.dumps(load.result)
    assert load.result["answered"] == load.result["sent"] > 0
    print(f"{load.result['answered']} requests, the slowest {load.result['slowest']} s")
