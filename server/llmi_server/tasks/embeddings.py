"""Embeddings: one vector for each text."""

import dataclasses
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from pydantic import Field

from llmi_api.launch import LongInputs
from llmi_server.engine.protocol import EncodedText, Fit, Output, TextCodec
from llmi_server.errors import InputTooLongError, InvalidRequestError
from llmi_server.model.files import TextRecipe
from llmi_server.tasks.task import TaskParameters, encode_some, encode_within, handling_of, refuse_blank

_PARTS_OF_A_WINDOW_SHARED = 8
"""Neighbouring windows share one in so many of their tokens."""


class EmbeddingParameters(TaskParameters):
    """Parameters of embeddings."""

    normalize: bool | None = Field(default=None, description="Scale to length 1; as the model says if absent.")
    prompt_name: str | None = Field(
        default=None, max_length=200, description="Which of the model's prompts is put before the text."
    )


class Embeddings:
    """Answers the pooled vector, scaled to length 1 where the model or the request says so.

    A text that is too long may be cut into windows: its vector is then the mean of theirs, each scaled as an answer of
    its own and weighted with its tokens, and scaled again.
    """

    def __init__(
        self,
        codec: TextCodec,
        *,
        limit: int,
        normalize: bool,
        recipe: TextRecipe,
        long_inputs: LongInputs = LongInputs.REFUSE,
    ) -> None:
        self._codec = codec
        self._limit = limit
        self._long_inputs = long_inputs
        self._normalize = normalize
        self._recipe = recipe

    def encode(self, texts: Sequence[str], parameters: EmbeddingParameters) -> list[EncodedText]:
        """Tokenise the texts, with the model's prompt before each where there is one."""
        refuse_blank(texts)
        prompt = self._prompt(parameters.prompt_name)
        if self._recipe.lower_case:
            prompt, texts = prompt.lower(), [text.lower() for text in texts]
        whole = [prompt + text for text in texts]
        if handling_of(parameters, self._long_inputs) is not LongInputs.WINDOW:
            return encode_within(
                self._codec, whole, limit=self._limit, parameters=parameters, long_inputs=self._long_inputs
            )
        parts = []
        for text in encode_some(self._codec, whole):
            short = len(text) <= self._limit
            parts += [text] if short else self._windows(text, texts[text.source], prompt)
        return parts

    def answers(
        self, texts: Sequence[EncodedText], outputs: Sequence[Output], parameters: EmbeddingParameters
    ) -> list[object]:
        """Return the vector of each text, [dimensions]."""
        normalize = self._normalize if parameters.normalize is None else parameters.normalize
        pairs = zip(texts, map(_scaled, outputs) if normalize else outputs, strict=True)
        vectors: list[object] = []
        for _, group in groupby(pairs, key=lambda pair: pair[0].source):
            parts = list(group)
            if len(parts) == 1:
                vectors.append(parts[0][1])
                continue
            mean = _weighted_mean([text for text, _ in parts], [vector for _, vector in parts])
            vectors.append(_scaled(mean) if normalize else mean)
        return vectors

    def _windows(self, whole: EncodedText, text: str, prompt: str) -> list[EncodedText]:
        overlap = self._limit // _PARTS_OF_A_WINDOW_SHARED
        windows = self._codec.windows(text, self._limit, prompt=prompt, overlap=overlap)
        if not windows:
            raise InputTooLongError(tokens=len(whole), limit=self._limit, index=whole.source)
        return [dataclasses.replace(window, source=whole.source, fit=Fit.WINDOW) for window in windows]

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


def _scaled(vector: Output) -> Output:
    length = max(float(np.linalg.norm(vector)), 1e-12)
    scaled: Output = vector / np.float32(length)
    return scaled


def _weighted_mean(texts: Sequence[EncodedText], vectors: Sequence[Output]) -> Output:
    """Return the mean of windows' vectors by their tokens, special ones not counted."""
    weights = [text.special.count(False) for text in texts]
    mean: Output = np.average(np.stack(list(vectors)), axis=0, weights=weights).astype(np.float32)
    return mean
