"""What the rest of the server knows about an engine. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmi_server.model.files import TextRecipe

Output = NDArray[np.float32]


class Fit(Enum):
    """How a text was made to fit into the model's limit."""

    WHOLE = auto()
    TRUNCATED = auto()
    WINDOW = auto()


@dataclass(frozen=True, kw_only=True)
class EncodedText:
    """One tokenised text, or a part of one.

    Attributes:
        ids: Token ids with special tokens.
        type_ids: Segment of each token; all zero for single texts.
        special: True for tokens that the tokenizer added.
        offsets: First and past-the-last character of each token in the text.
        positions: Tokens whose output is wanted, for tasks that do not want all.
        text: The text itself.
        source: Which of the texts that were tokenised together it is, or is part of.
        fit: Whether it is whole.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    special: tuple[bool, ...]
    offsets: tuple[tuple[int, int], ...]
    text: str
    positions: tuple[int, ...] = ()
    source: int = 0
    fit: Fit = Fit.WHOLE

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far answers in a reduced precision are from those in float32, measured on sentences at the start.

    Attributes:
        texts: How many sentences.
        mean_cosine: Of embeddings: mean cosine to the exact vectors.
        min_cosine: The least of them.
        same_best: Of scores: share of those whose best label or token is the same.
        largest_difference: Of scores between 0 and 1: the largest difference.
    """

    texts: int
    mean_cosine: float | None = None
    min_cosine: float | None = None
    same_best: float | None = None
    largest_difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a loaded model says about itself.

    Attributes:
        engine: Name and version of the engine.
        device: Where it runs, ``cpu`` or ``cuda``.
        precision: Number format of its arithmetic.
        weight_bytes: Size of the weights in memory.
        max_tokens: Longest input that the model can take.
        labels: Names of the classes, in order, for classifiers.
        problem_type: How a classifier's scores are meant, as in its configuration.
        preferred_batch_tokens: Where larger batches stop being faster on this device.
        revision: Commit of the model's files, if it is known.
        padding_free: Whether texts of a batch are computed each at its own length.
        mask_token: What stands for a missing word, for fill-mask.
        converses: Whether it answers conversations, for text generation.
        drift: How far answers are from those in float32, where that was measured.
    """

    engine: str
    device: str
    precision: str
    weight_bytes: int
    max_tokens: int
    preferred_batch_tokens: int
    labels: tuple[str, ...] = ()
    problem_type: str | None = None
    revision: str | None = None
    padding_free: bool = False
    mask_token: str | None = None
    converses: bool = False
    drift: Drift | None = None


class Engine(Protocol):
    """Computes batches, one at a time, on the thread that calls it."""

    @property
    def facts(self) -> ModelFacts:
        """What the loaded model says about itself."""
        ...

    def compute(self, batch: Sequence[EncodedText]) -> list[Output]:
        """Return one array for each text, in order.

        Shapes: fill-mask [positions, vocabulary] logits; text and zero-shot classification and rerank [labels] logits;
        token classification [tokens, labels] logits; embeddings [dimensions], pooled and not normalised.

        Raises:
            EngineOutOfMemoryError: The batch did not fit into memory.
        """
        ...

    def device_memory_bytes(self) -> int | None:
        """Return the most memory that was in use on the device so far; None if the device has none of its own."""
        ...


class LoadWatcher(Protocol):
    """Who is told how far loading is, from any thread."""

    def enter_phase(self, name: str) -> None:
        """Take note that a phase begins and the one before ended."""
        ...

    def predict(self, *, memory_bytes: int, by_precision: Mapping[str, int], weights: Mapping[str, int]) -> None:
        """Take note of how much memory the model will take, and would take in each precision that it could have.

        Args:
            memory_bytes: What it will take.
            by_precision: What it would take in each.
            weights: Of that, the weights alone.
        """
        ...

    def expect(self, total_bytes: int) -> None:
        """Take note of how many bytes of weights are to be read, which begins now."""
        ...

    def read(self, count: int) -> None:
        """Take note of bytes that were read."""
        ...


class EngineOutOfMemoryError(Exception):
    """A batch did not fit into memory; smaller ones may."""


class TextCodec(Protocol):
    """Text to tokens and back. Safe to call from several threads."""

    mask_token: str | None
    mask_token_id: int | None
    pad_token_id: int | None
    unknown_token_id: int | None
    marks_subwords: bool

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Tokenise whole texts with special tokens, without padding or truncation."""
        ...

    def truncate(self, text: EncodedText, limit: int, *, keep_end: bool = False) -> EncodedText:
        """Shorten a text to ``limit`` tokens, special tokens kept, as the tokenizer itself does."""
        ...

    def windows(self, text: str, limit: int, *, prompt: str, overlap: int) -> list[EncodedText]:
        """Cut a text into overlapping parts of at most ``limit`` tokens; each begins with the prompt.

        Args:
            text: The text, without the prompt.
            limit: Most tokens of a part, special tokens included.
            prompt: What is put before each part.
            overlap: How many tokens neighbours share, fewer if the parts are short.

        Returns:
            The parts in order; none if the prompt leaves no room.
        """
        ...

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedText]:
        """Tokenise pairs of texts, each pair as one sequence, without padding or truncation."""
        ...

    def truncate_pair(self, pair: tuple[str, str], limit: int, *, shorten: int) -> EncodedText | None:
        """Shorten one text of a pair so that the whole has ``limit`` tokens; None if the other leaves no room."""
        ...

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        """Return the text of token ids."""
        ...

    def token(self, token_id: int) -> str:
        """Return the vocabulary's spelling of a token."""
        ...

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of vocabulary spellings."""
        ...

    def candidate(self, word: str) -> int | None:
        """Return the id of a word, or of its first piece when the vocabulary lacks it; None if it has no tokens."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """Everything that loading yields."""

    engine: Engine
    codec: TextCodec
    normalize: bool = field(default=True)
    recipe: TextRecipe = field(default_factory=TextRecipe)
