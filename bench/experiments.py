"""Measurements: each runs in rounds, and each round gives ours and the other's number for some figures."""

import json
import math
import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from operator import mul
from pathlib import Path

import httpx

from inputs import encoder_texts, english_sentences, prompts
from llmi_testing.minilm import minilm
from llmi_testing.models import bert_large_classifier, llama_134m, minilm_shape
from load import Outcome, Request
from matmul_rate import machine_rate
from rows import Duel, Experiment, Figure, Likeness, Load, Solo, Starts
from running import Block, Running, running
from servers import ANSWER_TOKENS, SERVERS

MODELS: Mapping[str, Callable[[], Path]] = {
    "bert-large": bert_large_classifier,
    "minilm": minilm,
    "minilm-shape": minilm_shape,
    "llama-134m": llama_134m,
}
OPERATIONS_PER_TOKEN = 2 * 24 * (4 * 1024**2 + 2 * 1024 * 4096)
"""Of BERT-large's linear layers; attention adds about a hundredth at these lengths."""

_WAIT_SECONDS = 900
_WARM_UP = 4
_HEALTH = "/livez"


@dataclass(frozen=True)
class Pair:
    """Our number and the other's; where there is no other server, what ours is compared with, if anything."""

    ours: float
    other: float = 1

    @property
    def value(self) -> float:
        """Ours over the other."""
        return self.ours / self.other


@dataclass(frozen=True)
class Round:
    """What one round gave.

    Attributes:
        pairs: For each figure.
        strangers: Cores that strangers used in its worst block.
        effort: Tokens for each second of processor time, if two servers were compared: what strangers disturb least.
    """

    pairs: Mapping[Figure, Pair]
    strangers: float
    effort: Pair | None = None


def rounds_of(experiment: Experiment, *, scale: float) -> Iterator[Round]:
    """Start what an experiment needs and yield one round after another, without end.

    Args:
        experiment: Which.
        scale: Factor for the number of requests; below 1 for a trial.
    """
    match experiment:
        case Duel():
            yield from _duel(experiment, scale)
        case Solo():
            yield from _solo(experiment, scale)
        case Starts():
            yield from _starts(experiment)
        case Likeness():
            yield from _likeness(experiment)


def _duel(duel: Duel, scale: float) -> Iterator[Round]:
    folder = MODELS[duel.model]()
    with ExitStack() as stack:
        pair = []
        for key in (duel.ours, duel.other):
            pair.append(stack.enter_context(_running(key, folder)))
            _put(pair[-1], Load(clients=1, requests=_WARM_UP), seed=0)
            pair[-1].hold()
        number = 0
        while True:
            number += 1
            blocks: dict[int, Block] = {}
            for place in (0, 1) if number % 2 else (1, 0):
                pair[place].go_on()
                probe = _HEALTH if duel.probed and place == 0 else None
                blocks[place] = _put(pair[place], _scaled(duel.load, scale), seed=number, probe=probe)
                pair[place].hold()
            starts = Pair(pair[0].start_seconds, pair[1].start_seconds)
            yield _compared(blocks[0], blocks[1], starts)


def _compared(ours: Block, other: Block, starts: Pair) -> Round:
    readings: dict[Figure, Callable[[Outcome], float]] = {
        Figure.TOKENS: lambda outcome: outcome.tokens_per_second,
        Figure.P50: lambda outcome: statistics.median(answer.seconds for answer in outcome.answers),
        Figure.FIRST_TOKEN: lambda outcome: statistics.median(answer.first_seconds for answer in outcome.answers),
    }
    pairs = {figure: Pair(read(ours.outcome), read(other.outcome)) for figure, read in readings.items()}
    pairs[Figure.START] = starts
    if ours.outcome.probe_seconds:
        pairs[Figure.HEALTH] = _health(ours)
    strangers = max(ours.strangers, other.strangers)
    return Round(pairs=pairs, strangers=strangers, effort=Pair(_effort(ours), _effort(other)))


def _health(block: Block) -> Pair:
    """Return the milliseconds that 99 of 100 probes took at most."""
    return Pair(_quantile(block.outcome.probe_seconds, 0.99) * 1000)


def _effort(block: Block) -> float:
    return sum(answer.tokens for answer in block.outcome.answers) / block.processor_seconds


def _solo(solo: Solo, scale: float) -> Iterator[Round]:
    folder = MODELS[solo.model]()
    with _running(solo.ours, folder) as server:
        _put(server, Load(clients=1, requests=_WARM_UP), seed=0)
        number = 0
        while True:
            number += 1
            server.hold()
            floor = machine_rate(os.cpu_count() or 1) / OPERATIONS_PER_TOKEN
            server.go_on()
            block = _put(server, _scaled(solo.load, scale), seed=number, probe=_HEALTH)
            pairs = {
                Figure.FLOOR: Pair(block.outcome.tokens_per_second, floor),
                Figure.MEMORY: Pair(server.peak_bytes(), _weight_bytes(folder)),
                Figure.HEALTH: _health(block),
            }
            yield Round(pairs=pairs, strangers=block.strangers)


def _starts(starts: Starts) -> Iterator[Round]:
    folder = MODELS[starts.model]()
    while True:
        seconds, strangers = [], []
        for key in (starts.ours, starts.other):
            with _running(key, folder) as server:
                seconds.append(server.start_seconds)
                strangers.append(server.strangers_at_start)
        yield Round(pairs={Figure.START: Pair(*seconds)}, strangers=max(strangers))


def _likeness(likeness: Likeness) -> Iterator[Round]:
    folder, sentences = MODELS[likeness.model](), english_sentences(300)
    vectors = []
    for key in (likeness.ours, likeness.other):
        with _running(key, folder) as server:
            vectors.append([_vector(server, sentence) for sentence in sentences])
    cosine = statistics.mean(map(_cosine, *vectors))
    while True:
        yield Round(pairs={Figure.COSINE: Pair(cosine)}, strangers=0)


def _vector(server: Running, sentence: str) -> list[float]:
    body = server.server.body(sentence, server.model)
    answer = httpx.post(server.address + server.server.route, json=body, timeout=60).raise_for_status()
    vector: list[float] = answer.json()["data"][0]["embedding"]
    return vector


def _cosine(left: list[float], right: list[float]) -> float:
    return _product(left, right) / math.sqrt(_product(left, left) * _product(right, right))


def _product(left: list[float], right: list[float]) -> float:
    return float(sum(map(mul, left, right)))


def _put(server: Running, load: Load, *, seed: int, probe: str | None = None) -> Block:
    streams = server.server.route.endswith("completions")
    texts = (prompts if streams else encoder_texts)(load.requests, seed=seed)
    requests = [
        Request(
            body=json.dumps(server.server.body(text.text, server.model)).encode(),
            tokens=ANSWER_TOKENS if streams else text.tokens,
        )
        for text in texts
    ]
    return server.put_load(requests, clients=load.clients, probe=probe)


def _scaled(load: Load, scale: float) -> Load:
    return Load(clients=load.clients, requests=max(load.clients, round(load.requests * scale)))


def _running(key: str, folder: Path) -> AbstractContextManager[Running]:
    return running(key, SERVERS[key], folder, wait_seconds=_WAIT_SECONDS)


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
