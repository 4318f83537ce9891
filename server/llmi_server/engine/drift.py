"""How far answers in a reduced precision are from those in float32, on ordinary sentences. No torch here."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from llmi_api.launch import Task
from llmi_server.engine.protocol import Drift, EncodedText, Output, TextCodec
from llmi_server.engine.sentences import SENTENCES
from llmi_server.engine.softmax import softmax

Compute = Callable[[Sequence[EncodedText]], list[Output]]
_PAIRS = (Task.RERANK, Task.ZERO_SHOT_CLASSIFICATION)


def trial_texts(codec: TextCodec, task: Task, *, limit: int) -> list[EncodedText]:
    """Return the sentences as the task puts them to the model: in pairs, or with a mask in the place of a word.

    What a small model cannot take whole is cut; what cannot be cut either is left out.
    """
    if task in _PAIRS:
        pairs = zip(SENTENCES, (*SENTENCES[1:], SENTENCES[0]), strict=True)
        return [pair for pair in (_pair(codec, one, limit) for one in pairs) if pair is not None]
    whole = codec.encode(SENTENCES)
    cut = [text if len(text) <= limit else codec.truncate(text, limit) for text in whole]
    texts = [text for text in cut if not all(text.special)]
    if task is not Task.FILL_MASK or codec.mask_token_id is None:
        return texts
    return [_masked(text, codec.mask_token_id) for text in texts]


def measure_drift(exact: Compute, reduced: Compute, texts: Sequence[EncodedText], task: Task) -> Drift:
    """Compute the texts twice and compare.

    Args:
        exact: Computes in float32.
        reduced: Computes in the reduced precision.
        texts: What to compute.
        task: What the model is asked to do.
    """
    return compare(exact(texts), reduced(texts), task)


def compare(exact: Sequence[Output], reduced: Sequence[Output], task: Task) -> Drift:
    """Return how far the outputs of an engine are from exact ones: by angle for vectors, by score for all else."""
    if task is Task.EMBEDDINGS:
        cosines = [_cosine(one, other) for one, other in zip(exact, reduced, strict=True)]
        return Drift(texts=len(exact), mean_cosine=float(np.mean(cosines)), min_cosine=min(cosines))
    wanted, got = (
        _scores(np.concatenate([np.atleast_2d(output) for output in outputs])) for outputs in (exact, reduced)
    )
    return Drift(
        texts=len(exact),
        same_best=float(np.mean(wanted.argmax(axis=-1) == got.argmax(axis=-1))) if wanted.shape[-1] > 1 else None,
        largest_difference=float(np.abs(wanted - got).max()),
    )


def _pair(codec: TextCodec, pair: tuple[str, str], limit: int) -> EncodedText | None:
    """Return a pair, cut where a small model takes no more."""
    (whole,) = codec.encode_pairs([pair])
    return whole if len(whole) <= limit else codec.truncate_pair(pair, limit, shorten=1)


def _masked(text: EncodedText, mask: int) -> EncodedText:
    own = [place for place, special in enumerate(text.special) if not special]
    place = own[len(own) // 2]
    return dataclasses.replace(text, ids=(*text.ids[:place], mask, *text.ids[place + 1 :]), positions=(place,))


def _cosine(one: Output, other: Output) -> float:
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else float((one == other).all())


def _scores(logits: Output) -> Output:
    """Return shares of each row that sum to 1; a single number becomes one between 0 and 1."""
    if logits.shape[-1] == 1:
        sigmoid: Output = (1.0 / (1.0 + np.exp(-logits))).astype(logits.dtype)
        return sigmoid
    return softmax(logits)
