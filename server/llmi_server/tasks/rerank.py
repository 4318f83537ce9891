"""Rerank: how well each document answers a query, by a cross-encoder."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from llmi_api.failure import FailureCode
from llmi_api.launch import LongInputs
from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.errors import StartupError
from llmi_server.tasks.task import TaskParameters, encode_pairs_within, refuse_blank


class RerankParameters(TaskParameters):
    """Parameters of rerank."""

    query: str = Field(default="a", min_length=1, description="What the documents are judged by.")
    raw_scores: bool = Field(default=False, description="The model's number as it is, rather than between 0 and 1.")


class Rerank:
    """Answers a score for each document, in the order that they came.

    Raises:
        StartupError: The model gives more than one number.
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
        if len(labels) != 1:
            raise StartupError(
                FailureCode.TASK_MISMATCH,
                f"The model gives {len(labels)} numbers for a pair of texts, and rerank needs one.",
                next_step="Choose a cross-encoder with one label, or set task to text-classification.",
            )

    def encode(self, texts: Sequence[str], parameters: RerankParameters) -> list[EncodedText]:
        """Tokenise the query with every document."""
        refuse_blank([parameters.query], param="query")
        refuse_blank(texts, param="documents")
        pairs = [(parameters.query, text) for text in texts]
        return encode_pairs_within(
            self._codec, pairs, limit=self._limit, parameters=parameters, long_inputs=self._long_inputs, shorten=1
        )

    def answers(
        self, texts: Sequence[EncodedText], outputs: Sequence[Output], parameters: RerankParameters
    ) -> list[object]:
        """Return one score for each document.

        Args:
            texts: The pairs.
            outputs: The number of each pair, [1].
            parameters: ``raw_scores`` is used.
        """
        numbers = np.concatenate(list(outputs))
        scores = numbers if parameters.raw_scores else 1.0 / (1.0 + np.exp(-numbers))
        return [float(score) for score in scores[: len(texts)]]

    def brief(self, text: EncodedText, output: Output) -> str:
        """Refuse: the settings let no question come this far."""
        raise NotImplementedError


def ranked(scores: Sequence[float], top: int | None = None) -> list[tuple[int, float]]:
    """Return place and score of the best documents, best first."""
    return sorted(enumerate(scores), key=lambda pair: -pair[1])[:top]
