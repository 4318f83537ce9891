"""JSON that means what it says passes; anything doubtful does not."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_server.errors import InvalidRequestError
from llmi_server.schema.strict_json import parse_json

text = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
)


@given(documents, st.booleans())
def test_valid_json_is_read_as_python_reads_it(document, ascii_only):
    assert parse_json(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    with contextlib.suppress(InvalidRequestError):
        parse_json(body)


def test_a_whole_surrogate_pair_is_a_character():
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_negative_zero_is_a_number():
    assert parse_json(b"-0.0") == 0


@pytest.mark.parametrize("body", [b'"\\ud800"', b'["\\udc00x"]', b'{"a": {"\\ud800": 1}}', b'"\\ud800\\ud800"'])
def test_half_a_surrogate_pair_is_refused(body):
    with pytest.raises(InvalidRequestError, match="surrogate"):
        parse_json(body)
