"""A real vLLM, started with what the operator would put into its container.

``python bench/peers.py vllm && pytest -m soak tests/operator/plan/engines``: too large an environment, and too slow a
start, for every run of the tests.
"""

import asyncio
import json
import time
from collections import Counter

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from safetensors.numpy import save_file
from tritonclient.utils import InferenceServerException

from llmi_api.launch import Task
from llmi_operator.metrics_api.exposition import read_in_flight
from llmi_testing.cache import copy_model
from llmi_testing.minilm import minilm
from llmi_testing.models import small_causal_model, small_model
from llmi_testing.otlp_receiver import attributes, otlp_receiver
from llmi_testing.served import served
from llmi_testing.server import MODEL_NAME
from llmi_testing.vllm_process import PYTHON, running_vllm

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not PYTHON.exists(), reason="no vLLM: python bench/peers.py vllm"),
]
KEY = {"Authorization": "Bearer secret"}
QUEUE = 4
DRAIN_SECONDS = 60
CHAT = "/v1/chat/completions"
ADAPTERS = ["--enable-lora", "--lora-modules=other=/model/adapters/other"]
RANK = 8
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def spec(traces):
    send = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": traces}, {"name": "OTEL_SERVICE_NAME", "value": "llama"}]
    return {
        "task": "text-generation",
        # One at a time, so that a queue comes up with few clients.
        "engine": {"name": "vllm", "args": ["--enforce-eager", "--max-num-seqs=1", *ADAPTERS], "env": send},
        "limits": {"maxInputTokens": 128, "maxOutputTokens": 128, "maxQueuedRequests": QUEUE},
        "resources": {"limits": {"memory": "512Mi"}},
        "access": {"apiKeySecret": {"name": "keys"}},
        "rollout": {"drainSeconds": DRAIN_SECONDS},
    }


@pytest.fixture(scope="module")
def collector():
    with otlp_receiver() as received:
        yield received


@pytest.fixture(scope="module")
def vllm(tmp_path_factory, collector):
    folder = tmp_path_factory.mktemp("vllm")
    model = folder / "model"
    # Its attention on a CPU takes no heads of 16.
    copy_model(small_causal_model("llama", head_dim=64), model)
    add_adapter(model)
    with running_vllm(folder, model, keys="secret\n", **spec(collector.url)) as vllm:
        yield vllm


def add_adapter(model):
    """Put a LoRA adapter beside a model, large enough to change what is answered."""
    folder = model / "adapters" / "other"
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "llama", "bias": "none"}
    config |= {"r": RANK, "lora_alpha": 64, "target_modules": ["o_proj"], "inference_mode": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    values = np.random.default_rng(0)
    shape = json.loads((model / "config.json").read_text())
    wide = shape["num_attention_heads"] * shape["head_dim"]
    weights = {}
    for layer in range(shape["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        weights[f"{name}.lora_A.weight"] = values.standard_normal((RANK, wide), dtype=np.float32)
        weights[f"{name}.lora_B.weight"] = values.standard_normal((shape["hidden_size"], RANK), dtype=np.float32)
    save_file(weights, folder / "adapter_model.safetensors")


def body(tokens=8, **fields):
    said = [{"role": "user", "content": "The capital of France is"}]
    return {"model": "llama", "messages": said, "max_tokens": tokens, "ignore_eos": True, **fields}


def test_it_answers_a_chat(vllm):
    answer = httpx.post(vllm.url + CHAT, json=body(), headers=KEY, timeout=120)
    assert answer.status_code == 200, answer.text + vllm.log[-6000:]
    assert answer.json()["usage"]["completion_tokens"] == 8
    assert "x-request-id" in answer.headers


def test_a_callers_trace_goes_on_in_vllm(vllm, collector):
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "id-1"}
    answer = httpx.post(vllm.url + CHAT, json=body(), headers=KEY | headers, timeout=120)
    assert answer.status_code == 200, answer.text + vllm.log[-6000:]
    (span,) = collector.of_trace(TRACE, "llm_request")
    assert span.parent_span_id.hex() == CALLER
    told = attributes(span.attributes)
    assert "id-1" in told["gen_ai.request.id"]
    assert told["gen_ai.usage.completion_tokens"] == 8
    assert {one["service.name"] for one in collector.resources} == {"llama"}


def test_it_streams(vllm):
    answer = httpx.post(vllm.url + CHAT, json=body(stream=True), headers=KEY, timeout=120)
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "length"


def test_an_adapter_beside_the_model_is_a_model_of_its_own(vllm):
    def answered(model):
        fields = body(tokens=24, temperature=0) | {"model": model}
        answer = httpx.post(vllm.url + CHAT, json=fields, headers=KEY, timeout=120)
        assert answer.status_code == 200, answer.text + vllm.log[-6000:]
        return answer.json()["choices"][0]["message"]["content"]

    listed = httpx.get(vllm.url + "/v1/models", headers=KEY, timeout=60).json()["data"]
    assert {one["id"] for one in listed} == {"llama", "other"}
    assert answered("llama") == answered("llama") != answered("other")


@pytest.mark.parametrize("path", ["/v1/models", "/invocations", "/tokenize", "/docs"])
def test_no_route_answers_without_a_key(vllm, path):
    assert httpx.get(vllm.url + path, timeout=60).status_code == 401


def test_a_prompt_beyond_the_limits_is_refused(vllm):
    said = [{"role": "user", "content": "Paris " * 2000}]
    answer = httpx.post(vllm.url + CHAT, json=body() | {"messages": said}, headers=KEY, timeout=60)
    assert answer.status_code == 400


def test_one_more_than_the_queue_holds_is_refused_at_once_and_the_queue_is_told(vllm):
    async def ask(client):
        return (await client.post(vllm.url + CHAT, json=body(120), headers=KEY, timeout=300)).status_code

    async def run():
        async with httpx.AsyncClient() as client:
            asked = [asyncio.create_task(ask(client)) for _ in range(3 * QUEUE)]
            seen = set()
            while not all(task.done() for task in asked):
                seen.add(read_in_flight((await client.get(vllm.url + "/metrics", timeout=60)).text))
                await asyncio.sleep(0.05)
            return Counter(task.result() for task in asked), seen

    codes, seen = asyncio.run(run())
    assert set(codes) == {200, 503}
    assert codes[200] >= QUEUE
    assert max(seen) > 1


def test_it_stops_under_load_without_an_answer_by_half(vllm):
    """Each client keeps its connection and asks again and again, as clients with a pool do."""
    outcomes = []
    answered = asyncio.Event()

    async def client_of(stop):
        async with httpx.AsyncClient(headers=KEY, timeout=300) as client:
            while not stop.is_set():
                try:
                    answer = await client.post(vllm.url + CHAT, json=body(60))
                except httpx.ConnectError:
                    outcomes.append("refused")
                    return
                if answer.status_code == 200:
                    outcomes.append(answer.json()["choices"][0]["finish_reason"])
                    answered.set()
                else:
                    outcomes.append(answer.status_code)
                    return  # another replica's turn

    async def run():
        stop = asyncio.Event()
        clients = [asyncio.create_task(client_of(stop)) for _ in range(QUEUE - 1)]
        await answered.wait()
        began = time.monotonic()
        code = await asyncio.to_thread(vllm.stop)
        stop.set()
        await asyncio.gather(*clients)
        return code, time.monotonic() - began

    code, seconds = asyncio.run(run())
    assert code == 0, vllm.log[-2000:]
    assert set(outcomes) <= {"length", 503, "refused"}
    assert "length" in outcomes
    assert seconds < DRAIN_SECONDS


HEADS_OF_32 = {"hidden_size": 64, "num_attention_heads": 2}
POOLING = {
    Task.EMBEDDINGS: (minilm, "embedding", {}),
    Task.TEXT_CLASSIFICATION: (lambda: small_model("bert", "text-classification", **HEADS_OF_32), "answer", {}),
    Task.RERANK: (lambda: small_model("bert", "rerank", **HEADS_OF_32), "score", {"query": "what do you know"}),
}
TEXTS = ["a cat", "a kitten sat by a red house", "the tax return of last year"]


def infer(url, model, output, texts, parameters, **headers):
    """Triton's own client, by bytes both ways, as it does when it is told nothing else."""
    tensor = triton.InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(-1, 1))
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        return client.infer(model, [tensor], parameters=parameters, headers=headers).as_numpy(output)


def numbers_of(answers):
    """Vectors and scores as they are; of classes the scores by label."""
    if answers.dtype != object:
        return answers
    classes = [{one["label"]: one["score"] for one in json.loads(answer)} for answer in answers.reshape(-1)]
    return np.array([[scores[label] for label in sorted(scores)] for scores in classes])


@pytest.mark.parametrize("task", POOLING)
def test_by_kserves_protocol_it_answers_tritons_client_as_the_bundled_server_does(tmp_path, task):
    make, output, parameters = POOLING[task]
    copy_model(make(), tmp_path / "model")
    fields = {"task": task.value, "engine": {"name": "vllm", "precision": "float32", "args": ["--enforce-eager"]}}
    fields |= {"resources": {"limits": {"memory": "512Mi"}}, "access": {"apiKeySecret": {"name": "keys"}}}
    with served(tmp_path / "model", task, precision="float32") as bundled:
        expected = infer(bundled.url, MODEL_NAME, output, TEXTS, parameters)
    with running_vllm(tmp_path, tmp_path / "model", keys="secret\n", **fields) as vllm:
        with triton.InferenceServerClient(vllm.url.removeprefix("http://")) as client:
            assert client.is_server_ready(headers=KEY)
            assert client.is_model_ready("llama", headers=KEY)
            assert client.get_model_metadata("llama", headers=KEY)["outputs"][0]["name"] == output
            assert client.get_server_metadata(headers=KEY)["version"].startswith("0.")
        answers = infer(vllm.url, "llama", output, TEXTS, parameters, **KEY)
        assert answers.shape == expected.shape, vllm.log[-6000:]
        np.testing.assert_allclose(numbers_of(answers), numbers_of(expected), atol=1e-4)
        with pytest.raises(InferenceServerException, match="A valid API key"):
            infer(vllm.url, "llama", output, TEXTS, parameters)
        with pytest.raises(InferenceServerException, match="maximum") as refused:
            infer(vllm.url, "llama", output, ["a cat " * 2000], parameters, **KEY)
        assert refused.value.status() == "400"
