"""Embeddings: one vector for each text."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.errors import InvalidRequestError
from llmi_server.model.files import TextRecipe
from llmi_server.tasks.task import OneByOne, TaskParameters, encode_within, refuse_blank


class EmbeddingParameters(TaskParameters):
    """Parameters of embeddings."""

    normalize: bool | None = Field(default=None, description="Scale to length 1; as the model says if absent.")
    prompt_name: str | None = Field(
        default=None, max_length=200, description="Which of the model's prompts is put before the text."
    )


class Embeddings(OneByOne[EmbeddingParameters]):
    """Answers the pooled vector, scaled to length 1 where the model or the request says so."""

    def __init__(self, codec: TextCodec, *, limit: int, normalize: bool, recipe: TextRecipe) -> None:
        self._codec = codec
        self._limit = limit
        self._normalize = normalize
        self._recipe = recipe

    def encode(self, texts: Sequence[str], parameters: EmbeddingParameters) -> list[EncodedText]:
        """Tokenise the texts, with the model's prompt before each where there is one."""
        refuse_blank(texts)
        prompt = self._prompt(parameters.prompt_name)
        texts = [prompt + text for text in texts]
        if self._recipe.lower_case:
            texts = [text.lower() for text in texts]
        return encode_within(self._codec, texts, limit=self._limit, parameters=parameters)

    def answer(self, text: EncodedText, output: Output, parameters: EmbeddingParameters) -> Output:  # noqa: ARG002 - the protocol's signature
        """Return the vector, [dimensions]."""
        if not (self._normalize if parameters.normalize is None else parameters.normalize):
            return output
        length = max(float(np.linalg.norm(output)), 1e-12)
        scaled: Output = output / np.float32(length)
        return scaled

    def _prompt(self, name: str | None) -> str:
        chosen = name or self._recipe.default_prompt
        if chosen is None:
            return ""
        if chosen not in self._recipe.prompts:
            known = ", ".join(self._recipe.prompts) or "none"
            raise InvalidRequestError(
                f"The model has no prompt {chosen[:100]!r}; it has {known[:300]}.", param="prompt_name"
            )
        return self._recipe.prompts[chosen]

    def brief(self, text: EncodedText, output: Output) -> str:
        """Refuse: the settings let no question come this far."""
        raise NotImplementedError
