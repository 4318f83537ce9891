"""The engine answers on a GPU as it does on the CPU. Skipped, with the reason, where there is none."""

import numpy as np
import pytest
import torch

from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.loading import LoadRequest, load_model
from llmi_testing.minilm import minilm
from llmi_testing.models import tiny_bert
from llmi_testing.watching import Watching

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
TEXTS = ["The capital of France is [MASK].", "Snow is [MASK], and the sun is hot."]


def compute(folder, task, device, precision=Precision.FLOAT32):
    request = LoadRequest(folder=folder, task=task, precision=precision, device=device, max_batch_tokens=8192)
    loaded = load_model(request, watcher=Watching())
    assert loaded.engine.facts.device.startswith(device)
    return loaded.engine.compute(loaded.codec.encode(TEXTS))


@pytest.mark.parametrize(("folder", "task"), [(tiny_bert, Task.FILL_MASK), (minilm, Task.EMBEDDINGS)])
def test_float32_answers_are_the_same_as_on_the_cpu(folder, task):
    on_cpu, on_gpu = (compute(folder(), task, device) for device in (Device.CPU, Device.CUDA))
    for one, other in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_half_precision_keeps_the_direction_of_an_embedding():
    exact = compute(minilm(), Task.EMBEDDINGS, Device.CUDA)
    rough = compute(minilm(), Task.EMBEDDINGS, Device.CUDA, Precision.FLOAT16)
    for one, other in zip(exact, rough, strict=True):
        cosine = float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))
        assert cosine > 0.999
