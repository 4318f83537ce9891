"""How a batch lies in one array of numbers, so that one copy brings it to the device."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SIZES = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Tokens of recorded batches: one is filled up to the next. Larger ones keep a GPU busy as they are."""

MOST_TEXTS = 64
"""Texts of a recorded batch."""

Indices = np.ndarray[Any, np.dtype[np.int64]]
Numbers = np.ndarray[Any, np.dtype[np.int32]]


def size_for(tokens: int, texts: int) -> int | None:
    """Return the least size of recordings that a batch fits into; None if there is none."""
    return next((size for size in SIZES if tokens <= size and texts <= MOST_TEXTS), None)


def lay_out(indices: Indices, lengths: Sequence[int], *, size: int, texts: int) -> Numbers:
    """Return a batch as one array.

    Args:
        indices: Rows in the tables of words, positions and types, [3, tokens].
        lengths: Of the texts, in tokens.
        size: Room for so many tokens; what is left has the indices 0.
        texts: Room for so many texts; those that are not there are empty.

    Returns:
        [3 * size + texts + 1]: indices, and where each text begins and the last one ends, as FlashAttention wants it.
    """
    numbers = np.zeros(length_of(size, texts), dtype=np.int32)
    numbers[: 3 * size].reshape(3, size)[:, : indices.shape[1]] = indices
    bounds = np.cumsum([0, *lengths])
    numbers[3 * size :] = bounds[-1]
    numbers[3 * size :][: len(bounds)] = bounds
    return numbers


def length_of(size: int, texts: int) -> int:
    """Return how many numbers `lay_out` gives."""
    return 3 * size + texts + 1
