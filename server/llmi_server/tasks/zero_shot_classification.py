"""Zero-shot classification: labels that the request brings, by a model that tells what follows from a text."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from llmi_api.failure import FailureCode
from llmi_api.launch import LongInputs
from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.engine.softmax import softmax
from llmi_server.errors import StartupError
from llmi_server.tasks.task import TaskParameters, encode_pairs_within, refuse_blank

_PLACE = "{}"
_TEMPLATE = "This example is {}."
_MOST_LABELS = 256
_LEAST = 2
"""A model that tells following from contradicting has at least these two labels."""

Label = Annotated[str, Field(min_length=1, max_length=1000)]


class ZeroShotParameters(TaskParameters):
    """Parameters of zero-shot classification."""

    candidate_labels: list[Label] | str = Field(description="The labels: a list, or one text with commas between.")
    hypothesis_template: str = Field(default=_TEMPLATE, max_length=1000, description="A sentence with {} for a label.")
    multi_label: bool = Field(default=False, description="Whether each label is judged alone; else scores sum to 1.")

    @field_validator("candidate_labels")
    @classmethod
    def _some_labels(cls, value: list[str] | str) -> list[str] | str:
        if not 1 <= len(_split(value)) <= _MOST_LABELS:
            msg = f"candidate_labels needs 1 to {_MOST_LABELS} labels"
            raise ValueError(msg)
        return value

    @field_validator("hypothesis_template")
    @classmethod
    def _has_a_place(cls, value: str) -> str:
        if _PLACE not in value:
            msg = "hypothesis_template needs {} where the label goes"
            raise ValueError(msg)
        return value

    @property
    def labels(self) -> list[str]:
        """The labels as a list."""
        return _split(self.candidate_labels)


class ZeroShotClassification:
    """Answers a list of label and score, best first, for each text, as the Transformers pipeline scores them.

    Raises:
        StartupError: The model has no label for "follows from it".
    """

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
        follows = [number for number, label in enumerate(labels) if label.lower().startswith("entail")]
        if not follows or len(labels) < _LEAST:
            raise StartupError(
                FailureCode.TASK_MISMATCH,
                f"The model has no label entailment, which zero-shot-classification needs; its labels are"
                f" {', '.join(labels)[:300]}.",
                next_step="Choose a model that was trained on natural language inference, or set task to"
                " text-classification.",
            )
        self._follows = follows[0]
        self._contradicts = len(labels) - 1 if follows[0] == 0 else 0

    def encode(self, texts: Sequence[str], parameters: ZeroShotParameters) -> list[EncodedText]:
        """Tokenise every text with the sentence of every label."""
        refuse_blank(texts)
        sentences = [parameters.hypothesis_template.replace(_PLACE, label) for label in parameters.labels]
        pairs = [(text, sentence) for text in texts for sentence in sentences]
        return encode_pairs_within(
            self._codec, pairs, limit=self._limit, parameters=parameters, long_inputs=self._long_inputs, shorten=0,
            index_of=lambda number: number // len(sentences),
        )  # fmt: skip

    def answers(
        self, texts: Sequence[EncodedText], outputs: Sequence[Output], parameters: ZeroShotParameters
    ) -> list[object]:
        """Return one list for each text.

        Args:
            texts: The pairs.
            outputs: Logits of each pair, [labels of the model].
            parameters: ``candidate_labels`` and ``multi_label`` are used.
        """
        labels = parameters.labels
        logits = np.stack(list(outputs)).reshape(len(texts) // len(labels), len(labels), -1)
        if parameters.multi_label or len(labels) == 1:
            scores = softmax(logits[..., [self._contradicts, self._follows]])[..., 1]
        else:
            scores = softmax(logits[..., self._follows])
        return [_ranked(labels, row) for row in scores]

    def brief(self, text: EncodedText, output: Output) -> str:
        """Refuse: the settings let no question come this far."""
        raise NotImplementedError


def _split(labels: list[str] | str) -> list[str]:
    return [part for label in labels.split(",") if (part := label.strip())] if isinstance(labels, str) else labels


def _ranked(labels: Sequence[str], scores: Output) -> list[dict[str, object]]:
    return [{"label": labels[i], "score": float(scores[i])} for i in np.argsort(-scores, kind="stable")]
