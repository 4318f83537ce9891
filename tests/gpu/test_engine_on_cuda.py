"""Answers of a GPU are those of the CPU. Skipped, with the reason, where there is no GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import LoadRequest
from llmi_testing.generation import generating_server
from llmi_testing.minilm import minilm
from llmi_testing.models import small_model, tiny_bert
from llmi_testing.server import MODEL_NAME, running_server
from llmi_testing.watching import Watching

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
TEXTS = ["The capital of France is [MASK].", "Snow is [MASK], and the sun is hot."]
FAMILIES = ["bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert", "electra"]
PACKED = FAMILIES[:4]
HEADS = {
    "base": Task.EMBEDDINGS,
    "fill-mask": Task.FILL_MASK,
    "text-classification": Task.TEXT_CLASSIFICATION,
    "token-classification": Task.TOKEN_CLASSIFICATION,
    "rerank": Task.RERANK,
}


def load(folder, task, device, precision=Precision.FLOAT32):
    request = LoadRequest(folder=folder, task=task, precision=precision, device=device, max_batch_tokens=8192)
    loaded = load_model(request, watcher=Watching())
    assert loaded.engine.facts.device.startswith(device)
    return loaded


def compute(folder, task, device, precision=Precision.FLOAT32, texts=TEXTS):
    loaded = load(folder, task, device, precision)
    encoded = [replace(text, positions=tuple(range(len(text)))) for text in loaded.codec.encode(texts)]
    computed = loaded.engine.compute(encoded)
    assert all(one.size for one in computed)
    return computed


def difference(one, other):
    """Return the difference, as a share of what is right."""
    return float(np.linalg.norm(np.concatenate(one) - np.concatenate(other)) / np.linalg.norm(np.concatenate(other)))


def masked(family, text):
    return text.replace("[MASK]", "<mask>" if family not in ("bert", "distilbert", "electra") else "[MASK]")


@pytest.mark.parametrize(("folder", "task"), [(tiny_bert, Task.FILL_MASK), (minilm, Task.EMBEDDINGS)])
def test_float32_answers_are_the_same_as_on_the_cpu(folder, task):
    on_cpu, on_gpu = (compute(folder(), task, device) for device in (Device.CPU, Device.CUDA))
    for one, other in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.BFLOAT16])
def test_half_precision_keeps_the_direction_of_an_embedding(precision):
    exact = compute(minilm(), Task.EMBEDDINGS, Device.CPU)
    rough = compute(minilm(), Task.EMBEDDINGS, Device.CUDA, precision)
    for one, other in zip(exact, rough, strict=True):
        cosine = float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))
        assert cosine > 0.999


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", list(HEADS))
def test_every_family_and_task_answers_in_half_precision_as_the_cpu_does(family, head):
    folder, texts = small_model(family, head), [masked(family, text) for text in TEXTS]
    exact = compute(folder, HEADS[head], Device.CPU, texts=texts)
    rough = compute(folder, HEADS[head], Device.CUDA, Precision.FLOAT16, texts)
    assert difference(rough, exact) < 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_are_packed_for_the_families_whose_attention_the_kernel_knows(family):
    facts = load(small_model(family, "base"), Task.EMBEDDINGS, Device.CUDA, Precision.AUTO).engine.facts
    assert facts.padding_free == (family in PACKED)
    assert ("CUDA graphs" in facts.engine) == (family in PACKED)
    assert facts.precision in ("bfloat16", "float16")


def test_float32_is_left_to_transformers():
    assert load(tiny_bert(), Task.FILL_MASK, Device.CUDA).engine.facts.engine.startswith("transformers")


@pytest.mark.parametrize("texts", [1, 2, 5, 17, 64, 65, 300])
def test_recorded_batches_and_others_give_what_each_text_gives_alone(texts):
    loaded = load(minilm(), Task.EMBEDDINGS, Device.CUDA, Precision.FLOAT16)
    batch = loaded.codec.encode(["The cat drinks milk. " * (1 + number % 9) for number in range(texts)])
    together = loaded.engine.compute(batch)
    for one, other in zip(together, [loaded.engine.compute([text])[0] for text in batch], strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)


def test_answers_of_one_batch_are_not_those_of_the_next():
    loaded = load(minilm(), Task.EMBEDDINGS, Device.CUDA, Precision.FLOAT16)
    cat, sun = (loaded.codec.encode([text]) for text in ("A cat.", "The sun is hot."))
    (first,) = loaded.engine.compute(cat)
    kept = first.copy()
    loaded.engine.compute(sun)
    np.testing.assert_array_equal(first, kept)


def test_the_server_answers_and_tells_its_device():
    loaded = load(minilm(), Task.EMBEDDINGS, Device.CUDA, Precision.AUTO)
    with running_server(loaded, task=Task.EMBEDDINGS) as server:
        answer = server.http.post("/v1/embeddings", json={"model": MODEL_NAME, "input": TEXTS})
        assert answer.status_code == 200, answer.text
        status = server.http.get("/status").json()
    assert status["device"] == "cuda"
    assert status["engine"] == loaded.engine.facts.engine
    assert loaded.engine.device_memory_bytes() > loaded.engine.facts.weight_bytes


def test_text_is_generated_as_on_the_cpu():
    body = {"model": MODEL_NAME, "prompt": "The capital of France", "max_tokens": 24, "temperature": 0}
    answers = []
    for device in (Device.CPU, Device.CUDA):
        with generating_server(device=device, precision=Precision.FLOAT32) as server:
            answer = server.http.post("/v1/completions", json=body)
            assert answer.status_code == 200, answer.text
            answers.append(answer.json()["choices"][0]["text"])
    assert answers[0] == answers[1]
