"""An engine and a tokenizer that need no torch: words are tokens, and answers follow from them."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llmi_api.launch import Task
from llmi_server.engine.protocol import EncodedText, LoadedModel, ModelFacts, Output

DIMENSIONS = 4
LABELS = ("bad", "good", "neutral")
MAX_TOKENS = 32
_LABELS: dict[Task, tuple[str, ...]] = {
    Task.TEXT_CLASSIFICATION: LABELS,
    Task.TOKEN_CLASSIFICATION: LABELS,
    Task.ZERO_SHOT_CLASSIFICATION: ("entailment", "neutral", "contradiction"),
    Task.RERANK: ("relevance",),
}


class FakeCodec:
    """Splits at blanks; a word's id follows from its letters. [CLS] is 1, [SEP] is 2, [MASK] is 3."""

    mask_token: str | None = "[MASK]"
    mask_token_id: int | None = 3
    pad_token_id: int | None = 0
    unknown_token_id: int | None = None
    marks_subwords = False

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        return [replace(self._encode(text), source=number) for number, text in enumerate(texts)]

    def truncate(self, text: EncodedText, limit: int, *, keep_end: bool = False) -> EncodedText:
        words = text.text.split()
        kept = words[len(words) - limit + 2 :] if keep_end else words[: limit - 2]
        return replace(self._encode(" ".join(kept)), text=text.text)

    def windows(self, text: str, limit: int, *, prompt: str, overlap: int) -> list[EncodedText]:
        before, words = prompt.split(), text.split()
        room = limit - 2 - len(before)
        steps = range(0, max(len(words) - overlap, 1), room - overlap) if room > overlap else ()
        return [self._encode(" ".join(before + words[begin : begin + room])) for begin in steps]

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedText]:
        return [self._encode_pair(pair) for pair in pairs]

    def truncate_pair(self, pair: tuple[str, str], limit: int, *, shorten: int) -> EncodedText | None:
        words = [text.split() for text in pair]
        room = limit - 3 - len(words[1 - shorten])
        words[shorten] = words[shorten][: max(room, 0)]
        return self._encode_pair((" ".join(words[0]), " ".join(words[1]))) if room > 0 else None

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        return " ".join(str(i) for i in ids if i > 3 or not skip_special)

    def token(self, token_id: int) -> str:
        return str(token_id)

    def join(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens)

    def candidate(self, word: str) -> int | None:
        return word_id(word) if word.strip() else None

    def _encode_pair(self, pair: tuple[str, str]) -> EncodedText:
        whole = self._encode(f"{pair[0]} [SEP] {pair[1]}")
        return replace(whole, text=pair[0])

    def _encode(self, text: str) -> EncodedText:
        ids = [1, *map(word_id, text.split()), 2]
        middle = len(ids) - 2
        return EncodedText(
            ids=tuple(ids),
            type_ids=(0,) * len(ids),
            special=(True, *[False] * middle, True),
            offsets=tuple((0, 0) for _ in ids),
            text=text,
        )


def word_id(word: str) -> int:
    """Return the id of a word: special ones as named above, others from 4 up to 99."""
    return 3 if word == "[MASK]" else 4 + sum(map(ord, word)) % 96


class FakeEngine:
    """Remembers its batches; waits before each until `gate` is set; raises `error` if there is one."""

    def __init__(self, task: Task = Task.EMBEDDINGS) -> None:
        self.task = task
        self.batches: list[list[EncodedText]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.error: Exception | None = None
        labels = _LABELS.get(task, ())
        self._facts = ModelFacts(
            engine="fake 1",
            device="cpu",
            precision="float32",
            weight_bytes=0,
            max_tokens=MAX_TOKENS,
            preferred_batch_tokens=256,
            labels=labels,
        )

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    def hold(self) -> None:
        """Let the next batch wait for `gate`; `entered` counts from now on, so without those of the warm-up."""
        self.gate.clear()
        while self.entered.acquire(blocking=False):
            pass

    def compute(self, batch: Sequence[EncodedText]) -> list[Output]:
        self.batches.append(list(batch))
        self.entered.release()
        self.gate.wait()
        if self.error is not None:
            raise self.error
        return [self._output(text) for text in batch]

    def device_memory_bytes(self) -> int | None:
        return None

    def _output(self, text: EncodedText) -> Output:
        total = float(sum(text.ids))
        if self.task is Task.FILL_MASK:
            return np.tile(np.linspace(0, total, 100, dtype=np.float32), (len(text.positions), 1))
        if self.task in (Task.TEXT_CLASSIFICATION, Task.ZERO_SHOT_CLASSIFICATION):
            return np.array([total, 0, -total], dtype=np.float32)
        if self.task is Task.RERANK:
            return np.array([total / 100], dtype=np.float32)
        if self.task is Task.TOKEN_CLASSIFICATION:
            return np.tile(np.array([0, 1, 2], dtype=np.float32), (len(text), 1))
        return np.array([total, 1, 2, 3], dtype=np.float32)


def fake_model(task: Task = Task.EMBEDDINGS, engine: FakeEngine | None = None) -> LoadedModel:
    """Return a loaded model that needs no files."""
    return LoadedModel(engine=engine or FakeEngine(task), codec=FakeCodec(), normalize=False)
