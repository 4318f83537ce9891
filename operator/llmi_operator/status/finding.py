"""What a rule finds, and how sentences for people are written."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from llmi_api.v1alpha1 import Reason

LONGEST = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# user:password@ in a URL, and what looks like a hub token.
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@|\bhf_[A-Za-z0-9]{8,}")


class Outlook(Enum):
    """What a finding means for the resource."""

    FINE = auto()  # it is as its owner wants it
    PROGRESS = auto()  # it will become so by itself
    FAULT = auto()  # somebody must do something, though it may heal when the surroundings change
    STALLED = auto()  # it stays so until the spec or the operator changes


@dataclass(frozen=True)
class Finding:
    """Why the resource is in the state it is in.

    Attributes:
        sentence: The fact, then the next step; empty when all is well.
        recheck_seconds: When to look again although nothing happens; None for never.
    """

    reason: Reason
    sentence: str
    outlook: Outlook
    recheck_seconds: float | None = None


def write_sentence(text: str) -> str:
    """Make words from elsewhere safe to show: no control characters, no credentials, of bounded length."""
    plain = _CREDENTIALS.sub("***", _CONTROL.sub(_escape, text.strip()))
    if len(plain) <= LONGEST:
        return plain
    return plain[: LONGEST - 1].rstrip() + "…"


def quote_words(text: str, longest: int = 300) -> str:
    """Shorten words from elsewhere so that a next step still fits behind them."""
    words = " ".join(text.split()).rstrip(".:; ")
    return words if len(words) <= longest else words[: longest - 1].rstrip() + "…"


def _escape(match: re.Match[str]) -> str:
    return " " if match[0] in "\n\r\t" else f"\\u{ord(match[0]):04x}"
