"""What the servers are asked: the same texts in the same order for each of them.

A text is words that are one token each, in the made tokenizers and in MiniLM's, so its length in tokens is known
without a tokenizer. Lengths are log-normal between 8 and 256 tokens: median 48, mean 60.
"""

import ast
import math
import random
import sysconfig
from dataclasses import dataclass
from pathlib import Path

WORDS = (
    "the", "capital", "of", "france", "is", "paris", "italy", "rome", "spain", "madrid", "germany", "berlin", "japan",
    "tokyo", "england", "london", "a", "city", "in", "sky", "blue", "grass", "green", "sun", "hot", "snow", "cold",
    "cat", "drinks", "milk", "dog", "eats", "meat", "water", "wet",
)  # fmt: skip
SPECIAL_TOKENS = 2
"""Beginning and end, which every encoder's tokenizer adds."""

SHORTEST, MEDIAN, LONGEST = 8, 48, 256
_SPREAD = math.sqrt(2 * math.log(60 / MEDIAN))
"""Of the logarithm; a log-normal number's mean is its median times exp(spread² / 2)."""

PROMPT_WORDS = 64


@dataclass(frozen=True)
class Text:
    """One text and its length, special tokens included."""

    text: str
    tokens: int


def encoder_texts(count: int, *, seed: int) -> list[Text]:
    """Return texts of ordinary lengths, the same ones for the same seed."""
    source = random.Random(seed)  # noqa: S311 - repeatable
    return [_text(source, _length(source)) for _ in range(count)]


def prompts(count: int, *, seed: int) -> list[Text]:
    """Return prompts of 64 words; their tokens are not counted, only those of the answers."""
    source = random.Random(seed)  # noqa: S311 - repeatable
    return [Text(" ".join(source.choices(WORDS, k=PROMPT_WORDS)), 0) for _ in range(count)]


def english_sentences(count: int) -> list[str]:
    """Return sentences that people wrote: the first ones of docstrings in Python's own library."""
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                sentence = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
                if 6 <= len(sentence.split()) <= 60:  # noqa: PLR2004 - a sentence, not a word and not a page
                    found.append(sentence)
    return random.Random(1).sample(sorted(set(found)), count)  # noqa: S311 - repeatable


def _length(source: random.Random) -> int:
    return min(LONGEST, max(SHORTEST, round(source.lognormvariate(math.log(MEDIAN), _SPREAD))))


def _text(source: random.Random, tokens: int) -> Text:
    return Text(" ".join(source.choices(WORDS, k=tokens - SPECIAL_TOKENS)), tokens)
