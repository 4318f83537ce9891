"""Text classification: a score for each class."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from llmi_api.launch import LongInputs
from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.engine.softmax import softmax
from llmi_server.tasks.task import OneByOne, TaskParameters, encode_within

ScoreFunction = Literal["sigmoid", "softmax", "none"]


_APPLIES = 0.5
"""Score from which a label of several applies."""


class TextClassificationParameters(TaskParameters):
    """Parameters of text classification."""

    top_k: int | None = Field(default=None, ge=1, le=100_000, description="How many classes; all if absent.")
    function_to_apply: ScoreFunction | None = Field(
        default=None, description="How logits become scores; by the model's problem type if absent."
    )


class TextClassification(OneByOne[TextClassificationParameters]):
    """Answers a list of label and score, best first, for each text."""

    def __init__(
        self,
        codec: TextCodec,
        *,
        limit: int,
        labels: Sequence[str],
        problem_type: str | None,
        long_inputs: LongInputs = LongInputs.REFUSE,
    ) -> None:
        self._codec = codec
        self._limit = limit
        self._long_inputs = long_inputs
        self._labels = labels
        self._default_function = _function_for(problem_type, len(labels))

    def encode(self, texts: Sequence[str], parameters: TextClassificationParameters) -> list[EncodedText]:
        """Tokenise the texts."""
        return encode_within(
            self._codec, texts, limit=self._limit, parameters=parameters, long_inputs=self._long_inputs
        )

    def answer(self, text: EncodedText, output: Output, parameters: TextClassificationParameters) -> object:  # noqa: ARG002 - the protocol's signature
        """Return label and score of the best classes.

        Args:
            text: The tokenised text.
            output: Logits, [labels].
            parameters: ``top_k`` and ``function_to_apply`` are used.
        """
        scores = _apply(parameters.function_to_apply or self._default_function, output)
        best = np.argsort(-scores, kind="stable")[: parameters.top_k]
        return [{"label": self._labels[i], "score": float(scores[i])} for i in best]

    def brief(self, text: EncodedText, output: Output) -> str:  # noqa: ARG002 - the protocol's signature
        """Return the best label; all that apply, best first, if several can; the number if it is a regression."""
        scores = _apply(self._default_function, output)
        if self._default_function == "none":
            return ", ".join(f"{score:.2f}" for score in scores)
        best = np.argsort(-scores, kind="stable")
        if self._default_function == "softmax":
            return self._labels[int(best[0])]
        return ", ".join(self._labels[i] for i in best if scores[i] >= _APPLIES)


def _function_for(problem_type: str | None, labels: int) -> ScoreFunction:
    if problem_type == "regression":
        return "none"
    if problem_type == "multi_label_classification" or labels == 1:
        return "sigmoid"
    return "softmax"


def _apply(function: ScoreFunction, logits: Output) -> Output:
    if function == "sigmoid":
        scores: Output = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
        return scores
    if function == "softmax":
        return softmax(logits)
    return logits
