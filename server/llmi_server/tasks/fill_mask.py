"""Fill-mask: the most likely tokens at each mask."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from llmi_api.launch import LongInputs
from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.engine.softmax import softmax
from llmi_server.errors import InvalidRequestError
from llmi_server.tasks.task import OneByOne, TaskParameters, encode_within

_DEFAULT_TOP_K = 5


class FillMaskParameters(TaskParameters):
    """Parameters of fill-mask."""

    top_k: int | None = Field(default=None, ge=1, le=1000, description="How many tokens for each mask; 5 if absent.")
    targets: list[str] | str | None = Field(default=None, description="Only these words are considered.")


class FillMask(OneByOne[FillMaskParameters]):
    """Answers as the Transformers pipeline does: a list for one mask, a list of lists for several."""

    def __init__(self, codec: TextCodec, *, limit: int, long_inputs: LongInputs = LongInputs.REFUSE) -> None:
        self._codec = codec
        self._limit = limit
        self._long_inputs = long_inputs

    def encode(self, texts: Sequence[str], parameters: FillMaskParameters) -> list[EncodedText]:
        """Tokenise the texts and find their masks."""
        self._target_ids(parameters)
        encoded = encode_within(
            self._codec, texts, limit=self._limit, parameters=parameters, long_inputs=self._long_inputs
        )
        return [self._with_masks(text, index) for index, text in enumerate(encoded)]

    def answer(self, text: EncodedText, output: Output, parameters: FillMaskParameters) -> object:
        """Return score, token, token_str and sequence for each likely token.

        Args:
            text: The tokenised text with its mask positions.
            output: Logits, [masks, vocabulary].
            parameters: ``top_k`` and ``targets`` are used.
        """
        targets = self._target_ids(parameters)
        probabilities = softmax(output)
        candidates = np.arange(probabilities.shape[1]) if targets is None else np.array(targets)
        rows = []
        for place, row in zip(text.positions, probabilities[:, candidates], strict=True):
            best = _largest(row, min(parameters.top_k or _DEFAULT_TOP_K, len(candidates)))
            rows.append([self._proposal(text, place, int(candidates[i]), float(row[i])) for i in best])
        return rows[0] if len(rows) == 1 else rows

    def brief(self, text: EncodedText, output: Output) -> str:
        """Return the best token; for several masks, that of each."""
        best = output.argmax(axis=-1)[: len(text.positions)]
        return ", ".join(self._codec.decode([int(token)], skip_special=False).strip() for token in best)

    def _with_masks(self, text: EncodedText, index: int) -> EncodedText:
        masks = tuple(i for i, token in enumerate(text.ids) if token == self._codec.mask_token_id)
        if not masks:
            place = f"Input {index}" if index else "The input"
            raise InvalidRequestError(
                f"{place} has no mask; this model's mask token is {self._codec.mask_token}.", param="inputs"
            )
        return dataclasses.replace(text, positions=masks)

    def _proposal(self, text: EncodedText, place: int, token: int, score: float) -> dict[str, Any]:
        ids = [token if i == place else old for i, old in enumerate(text.ids)]
        shown = [i for i in ids if i != self._codec.pad_token_id]
        return {
            "score": score,
            "token": token,
            "token_str": self._codec.decode([token], skip_special=False),
            "sequence": self._codec.decode(shown, skip_special=len(text.positions) == 1),
        }

    def _target_ids(self, parameters: FillMaskParameters) -> list[int] | None:
        if parameters.targets is None:
            return None
        words = [parameters.targets] if isinstance(parameters.targets, str) else parameters.targets
        if len(words) > 1000:  # noqa: PLR2004 - a bound, not a quantity
            raise InvalidRequestError("targets has more than 1000 words.", param="parameters.targets")
        ids = [token for word in words if (token := self._codec.candidate(word)) is not None]
        if not ids:
            raise InvalidRequestError("None of the targets has a token in this model.", param="parameters.targets")
        return list(dict.fromkeys(ids))


def _largest(row: Output, count: int) -> list[int]:
    """Return the places of the ``count`` largest values, largest first."""
    part = np.argpartition(-row, count - 1)[:count] if count < len(row) else np.arange(len(row))
    return [int(i) for i in part[np.argsort(-row[part], kind="stable")]]
