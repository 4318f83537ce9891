"""Token classification: entities with their places in the text.

The grouping follows the Transformers pipeline step by step, so that answers are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from llmi_api.launch import LongInputs
from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.engine.softmax import softmax
from llmi_server.tasks.task import OneByOne, TaskParameters, encode_within

Aggregation = Literal["none", "simple", "first", "average", "max"]


class TokenClassificationParameters(TaskParameters):
    """Parameters of token classification."""

    aggregation_strategy: Aggregation | None = Field(default=None, description="How tokens become entities; none.")
    ignore_labels: list[str] | None = Field(default=None, max_length=1000, description="Labels left out; O if absent.")


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """One token, or one word of several, on its way to an entity."""

    word: str
    start: int
    end: int
    scores: Output
    index: int | None = None
    continues_word: bool = False
    label: str = ""
    score: float = 0.0


class TokenClassification(OneByOne[TokenClassificationParameters]):
    """Answers a list of entities for each text."""

    def __init__(
        self,
        codec: TextCodec,
        *,
        limit: int,
        labels: Sequence[str],
        long_inputs: LongInputs = LongInputs.REFUSE,
    ) -> None:
        self._codec = codec
        self._limit = limit
        self._long_inputs = long_inputs
        self._labels = labels

    def encode(self, texts: Sequence[str], parameters: TokenClassificationParameters) -> list[EncodedText]:
        """Tokenise the texts."""
        return encode_within(
            self._codec, texts, limit=self._limit, parameters=parameters, long_inputs=self._long_inputs
        )

    def answer(
        self, text: EncodedText, output: Output, parameters: TokenClassificationParameters
    ) -> list[dict[str, Any]]:
        """Return the entities.

        Args:
            text: The tokenised text.
            output: Logits, [tokens, labels].
            parameters: ``aggregation_strategy`` and ``ignore_labels`` are used.
        """
        strategy = parameters.aggregation_strategy or "none"
        ignored = ["O"] if parameters.ignore_labels is None else parameters.ignore_labels
        pieces = self._pieces(text, softmax(output))
        if strategy in ("none", "simple"):
            labelled = [self._labelled(piece, piece.scores) for piece in pieces]
        else:
            labelled = [self._word(word, strategy) for word in _words(pieces)]
        if strategy == "none":
            return [_token_entity(piece) for piece in labelled if piece.label not in ignored]
        groups = [self._group(group) for group in _groups(labelled)]
        return [group for group in groups if group["entity_group"] not in ignored]

    def brief(self, text: EncodedText, output: Output) -> str:
        """Return the grouped entities: each one's label and its words as they stand in the text."""
        groups = self.answer(text, output, TokenClassificationParameters(aggregation_strategy="simple"))
        return ", ".join(f"{group['entity_group']} {text.text[group['start'] : group['end']]}" for group in groups)

    def _pieces(self, text: EncodedText, scores: Output) -> list[_Piece]:
        pieces = []
        for index, token in enumerate(text.ids):
            if text.special[index]:
                continue
            start, end = text.offsets[index]
            shown = text.text[start:end]
            word = self._codec.token(token)
            if self._codec.marks_subwords:
                continues = len(word) != len(shown)
            else:
                continues = start > 0 and " " not in text.text[start - 1 : start + 1]
            if token == self._codec.unknown_token_id:
                word, continues = shown, False
            pieces.append(
                _Piece(word=word, start=start, end=end, scores=scores[index], index=index, continues_word=continues)
            )
        return pieces

    def _labelled(self, piece: _Piece, scores: Output) -> _Piece:
        best = int(scores.argmax())
        return _Piece(
            word=piece.word,
            start=piece.start,
            end=piece.end,
            scores=scores,
            index=piece.index,
            label=self._labels[best],
            score=float(scores[best]),
        )

    def _word(self, pieces: list[_Piece], strategy: Aggregation) -> _Piece:
        if strategy == "first":
            scores = pieces[0].scores
        elif strategy == "max":
            scores = max(pieces, key=lambda piece: float(piece.scores.max())).scores
        else:
            scores = np.nanmean(np.stack([piece.scores for piece in pieces]), axis=0)
        word = self._codec.join([piece.word for piece in pieces])
        whole = _Piece(word=word, start=pieces[0].start, end=pieces[-1].end, scores=scores)
        return self._labelled(whole, scores)

    def _group(self, pieces: list[_Piece]) -> dict[str, Any]:
        return {
            "entity_group": pieces[0].label.split("-", 1)[-1],
            "score": float(np.mean([piece.score for piece in pieces])),
            "word": self._codec.join([piece.word for piece in pieces]),
            "start": pieces[0].start,
            "end": pieces[-1].end,
        }


def _token_entity(piece: _Piece) -> dict[str, Any]:
    return {
        "entity": piece.label,
        "score": piece.score,
        "index": piece.index,
        "word": piece.word,
        "start": piece.start,
        "end": piece.end,
    }


def _words(pieces: list[_Piece]) -> list[list[_Piece]]:
    words: list[list[_Piece]] = []
    for piece in pieces:
        if words and piece.continues_word:
            words[-1].append(piece)
        else:
            words.append([piece])
    return words


def _groups(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Join neighbours with the same tag, except where a tag says that it begins anew."""
    groups: list[list[_Piece]] = []
    for piece in pieces:
        begins, tag = _tag(piece.label)
        if groups and not begins and tag == _tag(groups[-1][-1].label)[1]:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _tag(label: str) -> tuple[bool, str]:
    if label[:2] in ("B-", "I-"):
        return label.startswith("B-"), label[2:]
    return False, label
