"""How a batch is divided among threads, and that they compute it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.crew import Crew, divide
from llmi_server.engine.loading import load_model
from llmi_server.engine.padding_free_engine import PaddingFreeEngine
from llmi_server.engine.preparation import LoadRequest
from llmi_server.kernels.library import find_kernels
from llmi_testing.models import small_model
from llmi_testing.watching import Watching

WORDS = ["the", "cat", "drinks", "milk", "and", "the", "dog", "eats", "meat", "in", "paris"]


def load_on_two_threads(folder, task):
    request = LoadRequest(
        folder=folder,
        task=task,
        precision=Precision.FLOAT32,
        device=Device.CPU,
        max_batch_tokens=8192,
        threads=2,
    )
    return load_model(request, watcher=Watching())


@given(st.lists(st.integers(1, 512), min_size=1, max_size=40), st.integers(1, 16))
def test_each_text_is_in_one_share(lengths, threads):
    shares = divide(lengths, threads)
    assert sorted(place for share in shares for place in share) == list(range(len(lengths)))
    assert len(shares) in (1, threads)
    assert all(share == sorted(share) for share in shares)


def test_texts_of_one_length_are_halved():
    assert sorted(map(len, divide([48] * 8, 2))) == [4, 4]


@pytest.mark.parametrize("lengths", [[48], [256, 20, 20], [60, 40]], ids=["alone", "one outweighs", "uneven"])
def test_what_cannot_be_divided_evenly_is_computed_together(lengths):
    assert divide(lengths, 2) == [list(range(len(lengths)))]


@pytest.mark.parametrize(("uneven", "shares"), [(1.05, 1), (1.16, 2)])
def test_how_uneven_shares_may_be_depends_on_what_joining_costs(uneven, shares):
    assert len(divide([60, 50], 2, uneven)) == shares  # 60 is 1.09 of half


def test_shares_get_one_thread_each_and_a_single_one_all():
    crew = Crew(3)
    assert crew.map(lambda _: torch.get_num_threads(), [0]) == [3]
    assert crew.map(lambda _: torch.get_num_threads(), [0, 1, 2]) == [1, 1, 1]
    assert crew.map(lambda _: torch.get_num_threads(), [0]) == [3]


@pytest.mark.parametrize("head", ["fill-mask", "text-classification", "token-classification"])
def test_a_divided_batch_gives_what_its_texts_give_alone(head):
    model = load_on_two_threads(small_model("bert", head), Task(head))
    texts = model.codec.encode([f"{' '.join(WORDS[:count])} [MASK]" for count in (3, 9, 4, 8, 5, 7, 6, 6)])
    together = model.engine.compute(texts)
    for text, output in zip(texts, together, strict=True):
        (alone,) = model.engine.compute([text])
        assert output == pytest.approx(alone, abs=1e-5)


@pytest.mark.skipif(find_kernels() is None, reason="this processor has neither AVX2 nor AVX-512, which kernels need")
@pytest.mark.parametrize(("family", "shares"), [("bert", [8]), ("mpnet", [4, 4]), ("modernbert", [4, 4])])
def test_threads_compute_shares_unless_the_encoder_shares_its_steps_out(family, shares, monkeypatch):
    model = load_on_two_threads(small_model(family, "base"), Task.EMBEDDINGS)
    encoder, seen = model.engine._encoder, []

    def spied(batch):
        seen.append(len(batch))
        return encoder(batch)

    spied.divides = encoder.divides
    monkeypatch.setattr(model.engine, "_encoder", spied)
    model.engine.compute(model.codec.encode(["the cat drinks milk"] * 8))
    assert seen == shares


@pytest.mark.parametrize(("divides", "shares"), [(True, [4, 4]), (False, [8])])
def test_an_encoder_that_reads_its_layers_as_it_goes_goes_through_them_once(divides, shares):
    model = load_on_two_threads(small_model("bert", "text-classification"), Task.TEXT_CLASSIFICATION)
    seen = []

    def encoder(batch):
        seen.append(len(batch))
        return torch.zeros(sum(map(len, batch)), 4)

    facts = model.engine.facts
    encoder.divides = divides
    engine = PaddingFreeEngine(encoder=encoder, head=None, task=Task.EMBEDDINGS, facts=facts, pooling="mean")
    assert len(engine.compute(model.codec.encode(["the cat drinks milk"] * 8))) == 8
    assert seen == shares
