"""Texts that tokenizers like least take no more than in proportion to their length."""

import time

import pytest

from llmi_server.engine.codec import from_files
from llmi_server.model.files import read_optional_json
from llmi_testing.models import small_model

LENGTH = 50_000
TIMES = 4
MOST = 3 * TIMES
"""Twice the text may take 2.5 times as long, and a busy machine somewhat more; a quadratic one takes 16 times."""

TEXTS = {
    "one word": lambda n: "x" * n,
    "one emoji again and again": lambda n: "\U0001f600" * n,
    "combining marks": lambda n: "a" + "\u0301" * n,
    "marks in no order": lambda n: "a" + "\u0301\u0323" * (n // 2),
    "base64": lambda n: ("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo9" * n)[:n],
    "blanks": lambda n: " " * n + "x",
    "line ends": lambda n: "\n" * n + "x",
    "punctuation": lambda n: "!?" * (n // 2),
    "special tokens": lambda n: "[MASK]<s></s><|endoftext|>" * (n // 26),
    "beginnings of special tokens": lambda n: "[MAS<|endof" * (n // 11),
    "digits": lambda n: "1234567890" * (n // 10),
    "letters of all alphabets": lambda n: "".join(map(chr, range(0x100, 0x3000))) * (n // 0x2F00 + 1),
}


def encoders():
    yield "word pieces", small_model("bert", "fill-mask")
    yield "byte pairs", small_model("roberta", "fill-mask")
    yield "sentence pieces", small_model("xlm-roberta", "fill-mask")


@pytest.fixture(scope="module", params=list(encoders()), ids=lambda pair: pair[0])
def encode(request):
    folder = request.param[1]
    codec = from_files(folder, read_optional_json(folder / "tokenizer_config.json"))
    assert codec is not None
    return lambda text: codec.encode([text])


def seconds(encode, text):
    """Processor time of the quickest of three."""
    return min(_once(encode, text) for _ in range(3))


def _once(encode, text):
    began = time.thread_time()
    encode(text)
    return time.thread_time() - began


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS.keys())
def test_the_time_grows_as_the_text_does(encode, make):
    short = seconds(encode, make(LENGTH))
    assert seconds(encode, make(LENGTH * TIMES)) < MOST * max(short, 0.001)


def test_only_control_characters_are_no_fault(encode):
    encode("\u0001\u0002\u0007")
