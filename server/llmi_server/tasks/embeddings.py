"""Embeddings: one vector for each text."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.tasks.task import TaskParameters, encode_within


class EmbeddingParameters(TaskParameters):
    """Parameters of embeddings."""

    normalize: bool | None = Field(default=None, description="Scale to length 1; as the model says if absent.")


class Embeddings:
    """Answers the pooled vector, scaled to length 1 where the model or the request says so."""

    def __init__(self, codec: TextCodec, *, limit: int, normalize: bool) -> None:
        self._codec = codec
        self._limit = limit
        self._normalize = normalize

    def encode(self, texts: Sequence[str], parameters: EmbeddingParameters) -> list[EncodedText]:
        """Tokenise the texts."""
        return encode_within(self._codec, texts, limit=self._limit, parameters=parameters)

    def answer(self, text: EncodedText, output: Output, parameters: EmbeddingParameters) -> Output:  # noqa: ARG002 - the protocol's signature
        """Return the vector, [dimensions]."""
        if not (self._normalize if parameters.normalize is None else parameters.normalize):
            return output
        length = max(float(np.linalg.norm(output)), 1e-12)
        scaled: Output = output / np.float32(length)
        return scaled

    def brief(self, text: EncodedText, output: Output) -> str:
        """Refuse: the settings let no question come this far."""
        raise NotImplementedError
