"""What all tasks have in common."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from llmi_api.launch import LongInputs
from llmi_server.engine.protocol import EncodedText, Fit, Output, TextCodec
from llmi_server.errors import InputTooLongError, InvalidRequestError

Direction = Literal["left", "right", "Left", "Right"]


class TaskParameters(BaseModel):
    """Parameters that every task takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    truncate: bool | None = Field(
        default=None,
        description="Cut inputs that are too long (true) or refuse them (false); as the server is set if absent.",
    )
    truncation_direction: Direction | None = Field(default=None, description="Which end is cut off; right if absent.")


ParametersT = TypeVar("ParametersT", bound=TaskParameters)
ParametersT_contra = TypeVar("ParametersT_contra", bound=TaskParameters, contravariant=True)


class Task(Protocol[ParametersT_contra]):
    """One thing a model can be asked to do. All methods run on a worker thread."""

    def encode(self, texts: Sequence[str], parameters: ParametersT_contra) -> list[EncodedText]:
        """Tokenise the texts; a task that asks the model several times about a text gives as many for each.

        Raises:
            InvalidRequestError: A text is empty, too long or lacks what the task needs.
        """
        ...

    def answers(
        self, texts: Sequence[EncodedText], outputs: Sequence[Output], parameters: ParametersT_contra
    ) -> list[object]:
        """Return the JSON-ready answers, in order, from what `encode` gave and what the engine made of it."""
        ...

    def brief(self, text: EncodedText, output: Output) -> str:
        """Return the answer for one text in a few words, as people write what they expect."""
        ...


class OneByOne(Generic[ParametersT]):
    """A task that asks the model once about each text."""

    def answer(self, text: EncodedText, output: Output, parameters: ParametersT) -> object:
        """Return the JSON-ready answer for one text."""
        raise NotImplementedError

    def answers(self, texts: Sequence[EncodedText], outputs: Sequence[Output], parameters: ParametersT) -> list[object]:
        """Return one answer for each text."""
        return [self.answer(text, output, parameters) for text, output in zip(texts, outputs, strict=True)]


def encode_pairs_within(
    codec: TextCodec,
    pairs: Sequence[tuple[str, str]],
    *,
    limit: int,
    parameters: TaskParameters,
    long_inputs: LongInputs,
    shorten: int,
    index_of: Callable[[int], int] = lambda number: number,
) -> list[EncodedText]:
    """Tokenise pairs of texts and hold them to ``limit`` tokens.

    Args:
        codec: The tokenizer.
        pairs: The pairs.
        limit: Most tokens of a pair.
        parameters: Whether to cut.
        long_inputs: What to do where the parameters do not say.
        shorten: Which text of a pair is cut, 0 or 1.
        index_of: Place of a pair's input in the request.

    Raises:
        InputTooLongError: A pair is longer, and truncation was not asked for or does not help.
    """
    encoded = codec.encode_pairs(pairs)
    cuts = handling_of(parameters, long_inputs) is LongInputs.TRUNCATE
    for number, (pair, whole) in enumerate(zip(pairs, encoded, strict=True)):
        if len(whole) <= limit:
            continue
        shorter = codec.truncate_pair(pair, limit, shorten=shorten) if cuts else None
        if shorter is None:
            raise InputTooLongError(tokens=len(whole), limit=limit, index=index_of(number))
        encoded[number] = dataclasses.replace(shorter, source=index_of(number), fit=Fit.TRUNCATED)
    return encoded


def handling_of(parameters: TaskParameters, setting: LongInputs) -> LongInputs:
    """Return what becomes of a text that is too long: what the request says, else what the server is set to."""
    if parameters.truncate is None:
        return setting
    return LongInputs.TRUNCATE if parameters.truncate else LongInputs.REFUSE


def refuse_blank(texts: Sequence[str], *, param: str = "inputs") -> None:
    """Refuse texts without anything in them.

    Raises:
        InvalidRequestError: A text is blank.
    """
    for index, text in enumerate(texts):
        if not text.strip():
            raise InvalidRequestError(f"{param} {index} is empty." if index else f"{param} is empty.", param=param)


def encode_within(
    codec: TextCodec, texts: Sequence[str], *, limit: int, parameters: TaskParameters, long_inputs: LongInputs
) -> list[EncodedText]:
    """Tokenise texts and hold them to ``limit`` tokens.

    Raises:
        InputTooLongError: A text is longer and truncation was not asked for.
        InvalidRequestError: A text has no tokens of its own.
    """
    cuts = handling_of(parameters, long_inputs) is LongInputs.TRUNCATE
    keep_end = (parameters.truncation_direction or "").lower() == "left"
    return [_held_to(codec, text, limit=limit, cuts=cuts, keep_end=keep_end) for text in encode_some(codec, texts)]


def encode_some(codec: TextCodec, texts: Sequence[str]) -> list[EncodedText]:
    """Tokenise texts of any length.

    Raises:
        InvalidRequestError: A text has no tokens of its own.
    """
    encoded = codec.encode(texts)
    for text in encoded:
        _refuse_empty(text)
    return encoded


def _refuse_empty(text: EncodedText) -> None:
    if all(text.special):
        place = f"Input {text.source}" if text.source else "The input"
        raise InvalidRequestError(f"{place} is empty or has nothing that the tokenizer knows.", param="inputs")


def _held_to(codec: TextCodec, text: EncodedText, *, limit: int, cuts: bool, keep_end: bool) -> EncodedText:
    if len(text) <= limit:
        return text
    if not cuts:
        raise InputTooLongError(tokens=len(text), limit=limit, index=text.source)
    shorter = codec.truncate(text, limit, keep_end=keep_end)
    return dataclasses.replace(shorter, source=text.source, fit=Fit.TRUNCATED)
