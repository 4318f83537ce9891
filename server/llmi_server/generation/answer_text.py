"""From tokens to text as it may be shown: no broken characters, nothing of a stop string. Pure, but for a decoder."""

from collections.abc import Callable, Sequence

_BROKEN = "\N{REPLACEMENT CHARACTER}"
_LONGEST_CHARACTER = 6
"""Tokens that one character may span: bytes of UTF-8, and room for tokenizers that split oddly."""


class Detokenizer:
    """Turns tokens into text one by one; what is not yet a whole character is kept back."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._shown = 0
        self._context = 0

    def add(self, token: int) -> str:
        """Return the text that a token adds; empty while a character is incomplete."""
        self._tokens.append(token)
        text = self._new_text()
        pending = len(self._tokens) - self._shown
        if not text or (text.endswith(_BROKEN) and pending < _LONGEST_CHARACTER):
            return ""
        return self._show(text)

    def flush(self) -> str:
        """Return the text that was kept back."""
        return self._show(self._new_text())

    def _new_text(self) -> str:
        """Return what the tokens that are not shown yet add, decoded after some that are: spaces depend on them."""
        before = self._decode(self._tokens[self._context : self._shown])
        return self._decode(self._tokens[self._context :])[len(before) :]

    def _show(self, text: str) -> str:
        self._context, self._shown = self._shown, len(self._tokens)
        return text


class StopFinder:
    """Passes text on until a stop string comes; what may be the beginning of one is kept back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def add(self, text: str) -> str:
        """Return the text that is certainly no part of a stop string."""
        if self.found:
            return ""
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        shown, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return shown

    def flush(self) -> str:
        """Return the text that was kept back, at the end of an answer."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` are the beginning of ``stop``."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
