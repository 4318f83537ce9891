"""Vectors in JSON: short, and the same numbers to the last bit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_server.schema.number_json import to_json


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=50))
def test_a_vector_is_read_back_to_the_last_bit(numbers):
    vector = np.asarray(numbers, dtype=np.float32)
    assert np.array_equal(np.asarray(json.loads(to_json(vector)), dtype=np.float32), vector)


def test_a_vector_has_no_digits_that_say_nothing():
    assert to_json(np.asarray([0.1, -2.5, 1 / 3], dtype=np.float32)) == b"[0.1,-2.5,0.33333334]"


def test_vectors_may_lie_anywhere_in_a_document():
    answer = {"data": [{"index": 0, "embedding": np.asarray([1.5], dtype=np.float32)}], "model": "Zürich"}
    assert json.loads(to_json(answer)) == {"data": [{"index": 0, "embedding": [1.5]}], "model": "Zürich"}


def test_a_vector_may_be_a_view_of_others():
    assert to_json([np.arange(6, dtype=np.float32).reshape(3, 2)[:, 1]]) == b"[[1.0,3.0,5.0]]"


@pytest.mark.parametrize("score", [0.1 + 0.2, 1e-30, 5e-324, 1.7976931348623157e308])
def test_a_score_keeps_all_its_digits(score):
    assert json.loads(to_json({"score": score}))["score"] == score
