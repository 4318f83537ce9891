"""From scores to tokens."""

from collections import Counter

import pytest
import torch

from llmi_server.generation.request import Job, Sampling
from llmi_server.generation.sampling import Sampler

torch.set_num_threads(1)  # small tensors: a team of threads only waits for itself
SCORES = torch.log(torch.tensor([0.5, 0.25, 0.15, 0.06, 0.04]))


def draw(count, *, prompt=(0,), scores=SCORES, **sampling):
    sampler = Sampler()
    sampler.begin(Job(key=1, prompt=tuple(prompt), max_tokens=count, sampling=Sampling(**sampling)))
    return [sampler.choose(scores[None], [1])[1].token for _ in range(count)]


def test_temperature_0_takes_the_likeliest():
    assert draw(5, temperature=0) == [0] * 5


def test_temperature_near_0_does_too_without_overflow():
    assert draw(50, temperature=1e-5, scores=SCORES * 1000) == [0] * 50


def test_draws_follow_the_models_probabilities():
    counts = Counter(draw(4000, seed=1))
    for token, share in enumerate([0.5, 0.25, 0.15, 0.06, 0.04]):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)


def test_a_high_temperature_evens_them_out():
    counts = Counter(draw(4000, temperature=2.0, seed=1))
    assert counts[4] / 4000 == pytest.approx(0.04**0.5 / sum(p**0.5 for p in (0.5, 0.25, 0.15, 0.06, 0.04)), abs=0.03)


def test_the_same_seed_draws_alike_and_another_does_not():
    assert draw(50, seed=5) == draw(50, seed=5) != draw(50, seed=6)


def test_a_seed_draws_alike_whatever_else_is_in_the_batch():
    alone = draw(50, seed=5)
    sampler = Sampler()
    for key in range(3):
        job = Job(key=key, prompt=(0,), max_tokens=50, sampling=Sampling(seed=5 if key == 1 else key + 50))
        sampler.begin(job)
    rows = torch.stack([SCORES.flip(0), SCORES, SCORES.flip(0)])
    assert [sampler.choose(rows, [0, 1, 2])[1].token for _ in range(50)] == alone


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        ({"top_k": 1}, {0}),
        ({"top_k": 3}, {0, 1, 2}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.01}, {0}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.74}, {0, 1}),
        ({"top_p": 0.9}, {0, 1, 2}),
        ({"top_p": 0.9, "top_k": 2}, {0, 1}),
    ],
)
def test_only_the_tokens_that_are_allowed_are_drawn(sampling, allowed):
    assert set(draw(600, seed=2, **sampling)) == allowed


def test_a_nucleus_larger_than_the_first_look_is_whole():
    flat = torch.zeros(5000)
    assert max(draw(100, seed=3, scores=flat, top_p=0.9)) > 3000
    assert len(set(draw(100, seed=3, scores=flat, top_p=0.001))) <= 6


def test_penalties_turn_the_choice_to_what_was_not_said():
    assert draw(3, temperature=0, presence_penalty=1.0) == [0, 1, 0]
    assert draw(4, temperature=0, frequency_penalty=2.0) == [0, 1, 2, 0]
    assert draw(2, temperature=0, repetition_penalty=5.0, prompt=[0]) == [1, 2]


def test_probabilities_are_the_models_own_whatever_the_temperature():
    sampler = Sampler()
    sampler.begin(Job(key=1, prompt=(0,), max_tokens=1, sampling=Sampling(temperature=0.1, top_logprobs=2)))
    choice = sampler.choose(SCORES[None] + 3, [1])[1]
    assert choice.logprob == pytest.approx(float(SCORES[choice.token]), abs=1e-5)
    assert [token for token, _ in choice.top] == [0, 1]


def test_scores_that_are_not_numbers_are_an_error_and_no_token():
    sampler = Sampler()
    sampler.begin(Job(key=1, prompt=(0,), max_tokens=1, sampling=Sampling(temperature=0)))
    with pytest.raises(FloatingPointError):
        sampler.choose(torch.tensor([[1.0, float("nan")]]), [1])
