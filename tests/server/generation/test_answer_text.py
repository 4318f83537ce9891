"""Text as it may be shown: whole characters, and nothing of a stop string."""

import random

import pytest

from llmi_server.generation.answer_text import Detokenizer, StopFinder

TEXT = "Grüße, 世界! 👩‍👩‍👧 ñandú €5"


def bytes_decoder(tokens):
    return bytes(tokens).decode("utf-8", errors="replace")


def words_decoder(tokens):
    """Decode as SentencePiece does: the first word loses the blank before it."""
    return "".join(f" {token}" for token in tokens).removeprefix(" ")


def pieces_of(detokenizer, tokens):
    return [*map(detokenizer.add, tokens), detokenizer.flush()]


def test_characters_of_several_tokens_are_shown_whole():
    pieces = pieces_of(Detokenizer(bytes_decoder), TEXT.encode())
    assert "".join(pieces) == TEXT
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_blanks_between_words_are_those_of_the_whole_text():
    words = ["a", "cat", "drinks", "milk"]
    assert "".join(pieces_of(Detokenizer(words_decoder), words)) == "a cat drinks milk"


def test_bytes_that_are_no_character_do_not_hold_the_text_back_for_ever():
    broken = [0xFF] * 10
    detokenizer = Detokenizer(bytes_decoder)
    shown = "".join(map(detokenizer.add, broken))
    assert shown
    shown += "".join(map(detokenizer.add, b"then text"))
    assert "then tex" in shown
    assert (shown + detokenizer.flush()).endswith("then text")


def test_half_a_character_at_the_end_is_shown_as_what_it_is():
    assert "".join(pieces_of(Detokenizer(bytes_decoder), "a€".encode()[:-1])) == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["hello world"], ["wor"], "hello "),
        (["hel", "lo w", "or", "ld"], ["wor"], "hello "),
        (["a", "b", "a", "b", "c"], ["abc"], "ab"),
        (["xx", "\n", "\n", "yy"], ["\n\n"], "xx"),
        (["one two three"], ["three", "two"], "one "),
        (["no stop here"], ["zzz"], "no stop here"),
        (["ends with zz"], ["zzz"], "ends with zz"),
        (["stop", "ped"], ["stop"], ""),
    ],
)
def test_a_stop_string_ends_the_text_wherever_its_tokens_begin(pieces, stops, shown):
    finder = StopFinder(stops)
    assert "".join([*map(finder.add, pieces), finder.flush()]) == shown
    assert finder.found == (stops[0] in "".join(pieces) or stops[-1] in "".join(pieces))


def test_cut_anywhere_the_shown_text_is_the_same():
    generator = random.Random(3)
    for _ in range(500):
        text = "".join(generator.choice("ab") for _ in range(30))
        stops = ["".join(generator.choice("ab") for _ in range(generator.randint(2, 6))) for _ in range(2)]
        ends = [place for stop in stops if (place := text.find(stop)) >= 0]
        finder, rest, shown = StopFinder(stops), text, ""
        while rest and not finder.found:
            size = generator.randint(1, 4)
            shown += finder.add(rest[:size])
            rest = rest[size:]
        shown += finder.flush()
        whole = text[: min(ends)] if ends else text
        # Text that is already certain may be longer than what the first stop string leaves only if none was found yet.
        assert shown == whole or (finder.found and whole.startswith(shown[: len(whole)]))
