"""A list of tokens gives the same scores by our own kernels, without them, and text by text."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmi_server.generation import flat_grid, flat_model, packed_linear
from llmi_server.generation.flat_grid import FlatGrid, KernelGrid
from llmi_server.generation.flat_model import FlatModel
from llmi_server.generation.steps import Layout, Relayout, Slice
from llmi_server.kernels.library import find_kernels
from llmi_testing.models import small_causal_model

torch.set_num_threads(1)  # small tensors: a team of threads only waits for itself
LAYOUT = Layout(rows=9, capacity=200)
needs_kernels = pytest.mark.skipif(find_kernels() is None, reason="there are no kernels for this processor")


@pytest.fixture(params=["kernels", "pytorch"])
def way(request, monkeypatch):
    if request.param == "kernels" and find_kernels() is None:
        pytest.skip("there are no kernels for this processor")
    if request.param == "pytorch":
        do_without(monkeypatch)
    return request.param


def do_without(monkeypatch):
    for module in (packed_linear, flat_grid, flat_model):
        monkeypatch.setattr(module, "find_kernels", lambda: None)


def load(folder):
    model = FlatModel(AutoModelForCausalLM.from_pretrained(folder))
    model.relayout(Relayout(layout=LAYOUT, kept=()))
    return model


def text_of(row, length):
    return tuple(torch.randint(5, 260, (length,), generator=torch.Generator().manual_seed(row)).tolist())


def whole(row, length):
    return Slice(key=row, row=row, start=0, tokens=text_of(row, length), samples=True)


def rest(row, length, start):
    return Slice(key=row, row=row, start=start, tokens=text_of(row, length)[start:], samples=True)


# Rows of texts that go on: all beside each other; with a gap; few and far between, in no order; one.
ANSWERS = [{0: 40, 1: 9, 2: 150}, {0: 40, 1: 9, 3: 150, 4: 2}, {8: 140, 0: 30}, {5: 33}]


def mixed(model, answers, *, prompts):
    """Scores after a step in which answers go on by one token, beside prompts: one from its start, one from inside."""
    model.compute([whole(row, length - 1) for row, length in answers.items()])
    if prompts:
        model.compute([whole(7, 20)])
    parts = [rest(row, length, length - 1) for row, length in answers.items()]
    return model.compute([*([whole(6, 25), rest(7, 45, 20)] if prompts else []), *parts])


def by_transformers(folder, answers, *, prompts):
    model = AutoModelForCausalLM.from_pretrained(folder)
    texts = [text_of(6, 25), text_of(7, 45)] if prompts else []
    texts += [text_of(row, length) for row, length in answers.items()]
    with torch.inference_mode():
        return torch.stack([model(torch.tensor([text])).logits[0, -1] for text in texts])


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
@pytest.mark.parametrize("prompts", [True, False])
@pytest.mark.parametrize("answers", ANSWERS)
def test_scores_of_a_step_are_those_of_transformers(way, architecture, answers, prompts):
    folder = small_causal_model(architecture)
    model = load(folder)
    assert type(model._grid) is (KernelGrid if way == "kernels" else FlatGrid)
    wanted = by_transformers(folder, answers, prompts=prompts)
    torch.testing.assert_close(mixed(model, answers, prompts=prompts), wanted, atol=2e-5, rtol=1e-5)


@needs_kernels
@pytest.mark.parametrize("answers", ANSWERS)
def test_scores_are_the_same_with_and_without_kernels(monkeypatch, answers):
    folder = small_causal_model("llama")
    ours = mixed(load(folder), answers, prompts=True)
    do_without(monkeypatch)
    torch.testing.assert_close(ours, mixed(load(folder), answers, prompts=True), atol=2e-5, rtol=1e-5)


@needs_kernels
def test_a_long_prompt_gives_the_same_by_the_attention_of_pytorch(monkeypatch):
    folder, answers = small_causal_model("llama"), ANSWERS[0]
    model = load(folder)
    ours = mixed(model, answers, prompts=True)
    monkeypatch.setattr(flat_model, "_NEAR", 20)
    monkeypatch.setattr(model._decoder, "compute", None)  # a step with prompts may not use it now
    parts = [whole(6, 25), rest(7, 45, 20), *(rest(row, length, length - 1) for row, length in answers.items())]
    torch.testing.assert_close(model.compute(parts), ours, atol=2e-5, rtol=1e-5)


@needs_kernels
@pytest.mark.parametrize(("architecture", "whole_in_one"), [("llama", True), ("qwen2", True), ("qwen3", False)])
def test_all_layers_are_one_call_where_a_layer_is_nothing_more(architecture, whole_in_one):
    assert (load(small_causal_model(architecture))._decoder is not None) == whole_in_one
