"""How a batch lies in one array."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_server.engine.gpu.layout import MOST_TEXTS, SIZES, lay_out, length_of, size_for

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("tokens", "texts", "size"),
    [(1, 1, 32), (32, 32, 32), (33, 1, 64), (2048, MOST_TEXTS, 2048), (2049, 1, None), (100, MOST_TEXTS + 1, None)],
)
def test_a_batch_is_filled_up_to_the_next_size_that_is_recorded(tokens, texts, size):
    assert size_for(tokens, texts) == size


@given(LENGTHS, st.integers(0, 30), st.integers(0, 5))
def test_what_was_laid_out_is_found_again_and_the_rest_is_empty(lengths, spare_tokens, spare_texts):
    tokens = sum(lengths)
    indices = np.arange(3 * tokens).reshape(3, tokens) + 1
    size, texts = tokens + spare_tokens, len(lengths) + spare_texts
    numbers = lay_out(indices, lengths, size=size, texts=texts)
    assert len(numbers) == length_of(size, texts)
    tables, bounds = numbers[: 3 * size].reshape(3, size), numbers[3 * size :]
    assert np.array_equal(tables[:, :tokens], indices)
    assert not tables[:, tokens:].any()
    assert np.diff(bounds).tolist() == lengths + [0] * spare_texts


def test_sizes_waste_at_most_half_of_what_is_computed():
    assert all(larger <= 2 * size for size, larger in itertools.pairwise(SIZES))
