"""From scores to tokens: penalties, temperature, top-k, top-p, seeded draws."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from llmi_server.generation.request import Job, Sampling

_NUCLEUS_FIRST_LOOK = 1024
"""How many of the likeliest tokens are sorted at first; a nucleus is seldom larger."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A chosen token, and probabilities where they were asked for."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass
class _History:
    job: Job
    draws: random.Random
    generated: Counter[int] = field(default_factory=Counter)


class Sampler:
    """Chooses tokens. Draws of one job depend on its seed and nothing else."""

    def __init__(self) -> None:
        self._histories: dict[int, _History] = {}

    def begin(self, job: Job) -> None:
        """Take note of a job."""
        self._histories[job.key] = _History(job=job, draws=random.Random(job.sampling.seed))  # noqa: S311 - repeatable

    def forget(self, key: int) -> None:
        """Forget a job; unknown ones are ignored."""
        self._histories.pop(key, None)

    def choose(self, scores: torch.Tensor, keys: Sequence[int]) -> dict[int, Choice]:
        """Choose one token for each job.

        Args:
            scores: The model's scores, [jobs, vocabulary].
            keys: The jobs, in the order of the rows.

        Raises:
            FloatingPointError: The model computed something that is not a number.
        """
        highest, likeliest = scores.max(dim=-1)
        if not bool(torch.isfinite(highest).all()):
            raise FloatingPointError("the model's scores are not numbers")
        tokens: list[int] = likeliest.tolist()
        choices = {}
        for row, key in enumerate(keys):
            history = self._histories[key]
            sampling = history.job.sampling
            token = tokens[row]
            if sampling.temperature or sampling.penalizes:
                token = _choose_one(scores[row], history)
            history.generated[token] += 1
            choices[key] = _with_probabilities(scores[row], token, sampling.top_logprobs)
        return choices


def _choose_one(scores: torch.Tensor, history: _History) -> int:
    sampling = history.job.sampling
    scores = scores.double()
    if sampling.penalizes:
        scores = _penalized(scores, history)
    if not sampling.temperature:
        return int(scores.argmax())
    return _draw(scores / sampling.temperature, sampling, history.draws.random())


def _penalized(scores: torch.Tensor, history: _History) -> torch.Tensor:
    sampling = history.job.sampling
    scores = scores.clone()
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*history.job.prompt, *history.generated}), device=scores.device)
        old = scores[seen]
        scores[seen] = torch.where(old > 0, old / sampling.repetition_penalty, old * sampling.repetition_penalty)
    if history.generated:
        tokens = torch.tensor(list(history.generated), device=scores.device)
        counts = torch.tensor(list(history.generated.values()), device=scores.device, dtype=scores.dtype)
        scores[tokens] -= sampling.frequency_penalty * counts + sampling.presence_penalty
    return scores


def _draw(scores: torch.Tensor, sampling: Sampling, point: float) -> int:
    """Return the token at ``point`` (0 to 1) of the probabilities' running sum."""
    if not sampling.top_k and sampling.top_p >= 1.0:
        return _at(torch.softmax(scores, dim=-1).cumsum(dim=-1), point)
    best, tokens = _candidates(scores, sampling)
    total = torch.logsumexp(best if sampling.top_k else scores, dim=-1)
    sums = torch.exp(best - total).cumsum(dim=-1)
    if sampling.top_p < 1.0:
        count = int(torch.searchsorted(sums, min(sampling.top_p, float(sums[-1])))) + 1
        sums = sums[:count]
    return int(tokens[_at(sums, point)])


def _candidates(scores: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores and ids of the likeliest tokens, enough of them for top-k and top-p."""
    size = scores.shape[-1]
    if sampling.top_k:
        return torch.topk(scores, min(sampling.top_k, size))
    best, tokens = torch.topk(scores, min(_NUCLEUS_FIRST_LOOK, size))
    if float(torch.exp(torch.logsumexp(best, dim=-1) - torch.logsumexp(scores, dim=-1))) >= sampling.top_p:
        return best, tokens
    return torch.sort(scores, descending=True, stable=True)


def _at(sums: torch.Tensor, point: float) -> int:
    place = int(torch.searchsorted(sums, point * float(sums[-1]), right=True))
    return min(place, sums.shape[-1] - 1)


def _with_probabilities(scores: torch.Tensor, token: int, count: int | None) -> Choice:
    if count is None:
        return Choice(token=token)
    probabilities = torch.log_softmax(scores.float(), dim=-1)
    top: tuple[tuple[int, float], ...] = ()
    if count:
        values, tokens = torch.topk(probabilities, min(count, probabilities.shape[-1]))
        top = tuple(zip(tokens.tolist(), values.tolist(), strict=True))
    return Choice(token=token, logprob=float(probabilities[token]), top=top)
