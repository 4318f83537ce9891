"""Packed and recorded batches give what each text gives alone.

FlashAttention and CUDA graphs need a GPU, where `tests/gpu` has them. Here texts are attended to one by one, and a
recording is a run over the inputs that it is given: everything around those two is the real thing.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from llmi_api.launch import Precision, Task
from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.encoder.loading import load_encoder
from llmi_server.engine.gpu.encoder import GpuEncoder
from llmi_server.engine.gpu.engine import GpuEngine
from llmi_server.engine.gpu.layout import MOST_TEXTS
from llmi_server.engine.padding_free_engine import PaddingFreeEngine
from llmi_server.engine.protocol import EncodedText, ModelFacts
from llmi_server.model import files
from llmi_testing.models import small_model

FACTS = ModelFacts(
    engine="", device="cpu", precision="float32", weight_bytes=0, max_tokens=64, preferred_batch_tokens=8192
)
HEADS = {
    "base": Task.EMBEDDINGS,
    "fill-mask": Task.FILL_MASK,
    "text-classification": Task.TEXT_CLASSIFICATION,
    "token-classification": Task.TOKEN_CLASSIFICATION,
}


def attend_one_by_one(mixed, heads, bounds, longest):
    heard = torch.full((len(mixed), mixed.shape[1] // 3), torch.nan)  # what belongs to no text has no meaning
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        assert end - begin <= longest
        if end > begin:
            query, key, value = mixed[begin:end].view(end - begin, 3, heads, -1).permute(1, 2, 0, 3)
            heard[begin:end] = functional.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1)
    return heard


class Rerun:
    """Stands in for a recording."""

    def __init__(self, run: Any, length: int) -> None:
        self._run, self._length = run, length

    def replay(self, inputs):
        assert len(inputs) == self._length
        return self._run(inputs)


def loaded(family="bert", head="base"):
    folder = small_model(family, head)
    config, weights = files.read_config(folder), files.weight_files(folder)
    return load_encoder(config, weights, task=HEADS[head], precision=Precision.FLOAT32)


def texts(*lengths):
    draw = np.random.default_rng(1)
    return [
        EncodedText(
            ids=tuple(draw.integers(5, 60, length).tolist()),
            type_ids=tuple([0] * (length // 2) + [1] * (length - length // 2)),
            special=(False,) * length,
            offsets=((0, 0),) * length,
            text="",
            positions=(0, length - 1),
        )
        for length in lengths
    ]


def engines(family, head, pooling="mean", record=Rerun):
    """Return the engine for GPUs, and the one for CPUs to judge it."""
    model, task = loaded(family, head), HEADS[head]
    encoder = GpuEncoder(model.encoder, device="cpu", record=record, attend=attend_one_by_one)
    shared: Any = {"head": model.head, "task": task, "facts": FACTS, "pooling": pooling}
    return GpuEngine(encoder=encoder, **shared), PaddingFreeEngine(encoder=model.encoder, **shared)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_each_task_is_answered_as_on_a_cpu(family, head):
    ours, judge = engines(family, head)
    batch = texts(5, 33, 2, 60, 33)
    assert_same(ours.compute(batch), judge.compute(batch))


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_texts_of_different_lengths_are_pooled_each_by_itself(pooling):
    ours, judge = engines("bert", "base", pooling)
    batch = texts(7, 30, 7, 1, 64)
    assert_same(ours.compute(batch), judge.compute(batch))


@pytest.mark.parametrize("lengths", [[3] * (MOST_TEXTS + 1), [60] * 40], ids=["too many texts", "too many tokens"])
def test_a_batch_that_fits_no_recording_is_computed_as_it_is(lengths):
    ours, judge = engines("bert", "base")
    batch = texts(*lengths)
    assert_same(ours.compute(batch), judge.compute(batch))


def test_a_size_is_recorded_once_when_it_is_first_needed():
    sizes = []

    def record(run, length):
        sizes.append((length - MOST_TEXTS - 1) // 3)
        return Rerun(run, length)

    ours, judge = engines("bert", "base", record=record)
    assert sizes == []
    for lengths in ([20], [30, 2], [40, 40], [7], [3] * (MOST_TEXTS + 1)):
        batch = texts(*lengths)
        assert_same(ours.compute(batch), judge.compute(batch))
    assert sizes == [32, 96]


@pytest.mark.parametrize("family", ["mpnet", "modernbert"])
def test_attention_that_depends_on_distance_is_left_to_transformers(family):
    with pytest.raises(NotOursError):
        GpuEncoder(loaded(family).encoder, device="cpu", record=Rerun)


def test_heads_that_the_kernel_does_not_know_are_left_to_transformers():
    folder = small_model("bert", "base", hidden_size=36, num_attention_heads=3)
    config, weights = files.read_config(folder), files.weight_files(folder)
    model = load_encoder(config, weights, task=Task.EMBEDDINGS, precision=Precision.FLOAT32)
    with pytest.raises(NotOursError, match="heads of 12 numbers"):
        GpuEncoder(model.encoder, device="cpu", record=Rerun)
