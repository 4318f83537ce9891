import statistics

import pytest
from tokenizers import Tokenizer

import inputs
from llmi_testing.minilm import minilm
from llmi_testing.models import small_model


def test_texts_have_ordinary_lengths():
    lengths = [text.tokens for text in inputs.encoder_texts(4000, seed=0)]
    assert min(lengths) == 8
    assert max(lengths) == 256
    assert 46 <= statistics.median(lengths) <= 51
    assert 58 <= statistics.mean(lengths) <= 62


def test_every_server_gets_the_same_texts():
    assert inputs.encoder_texts(5, seed=3) == inputs.encoder_texts(5, seed=3)
    assert inputs.encoder_texts(5, seed=3) != inputs.encoder_texts(5, seed=4)


@pytest.mark.parametrize("folder", [minilm, lambda: small_model("bert", "base")], ids=["minilm", "made"])
def test_a_text_is_as_long_as_it_says(folder):
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for text in inputs.encoder_texts(50, seed=1):
        assert len(tokenizer.encode(text.text).ids) == text.tokens


def test_sentences_are_whole_and_differ():
    sentences = inputs.english_sentences(300)
    assert len(set(sentences)) == 300
    assert all("\n" not in sentence and len(sentence.split()) >= 6 for sentence in sentences)
