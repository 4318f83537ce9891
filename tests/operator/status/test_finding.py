from hypothesis import given
from hypothesis import strategies as st

from llmi_operator.status.finding import LONGEST, quote_words, write_sentence


@given(st.text(max_size=3000))
def test_a_sentence_is_short_and_has_no_control_characters(text):
    sentence = write_sentence(text)
    assert len(sentence) <= LONGEST
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in sentence)


def test_credentials_do_not_reach_the_status():
    text = "GET https://user:pa55@hub.example/x with hf_AbCdEfGhIjKlMn failed"
    assert write_sentence(text) == "GET https://***hub.example/x with *** failed"


def test_text_that_would_reorder_what_is_read_is_escaped():
    assert write_sentence("a\u202eb\nc") == "a\\u202eb c"


def test_long_words_leave_room_for_a_next_step():
    assert len(quote_words("x" * 5000)) == 300
