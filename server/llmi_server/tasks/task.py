"""What all tasks have in common."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from llmi_server.engine.protocol import EncodedText, Output, TextCodec
from llmi_server.errors import InputTooLongError, InvalidRequestError

Direction = Literal["left", "right", "Left", "Right"]


class TaskParameters(BaseModel):
    """Parameters that every task takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    truncate: bool | None = Field(default=None, description="Cut inputs that are too long, rather than refuse them.")
    truncation_direction: Direction | None = Field(default=None, description="Which end is cut off; right if absent.")


ParametersT_contra = TypeVar("ParametersT_contra", bound=TaskParameters, contravariant=True)


class Task(Protocol[ParametersT_contra]):
    """One thing a model can be asked to do. Both methods run on a worker thread."""

    def encode(self, texts: Sequence[str], parameters: ParametersT_contra) -> list[EncodedText]:
        """Tokenise the texts.

        Raises:
            InvalidRequestError: A text is empty, too long or lacks what the task needs.
        """
        ...

    def answer(self, text: EncodedText, output: Output, parameters: ParametersT_contra) -> object:
        """Return the JSON-ready answer for one text."""
        ...

    def brief(self, text: EncodedText, output: Output) -> str:
        """Return the answer for one text in a few words, as people write what they expect."""
        ...


def encode_within(
    codec: TextCodec, texts: Sequence[str], *, limit: int, parameters: TaskParameters
) -> list[EncodedText]:
    """Tokenise texts and hold them to ``limit`` tokens.

    Raises:
        InputTooLongError: A text is longer and truncation was not asked for.
        InvalidRequestError: A text has no tokens of its own.
    """
    return [
        _held_to(codec, text, limit=limit, parameters=parameters, index=index)
        for index, text in enumerate(codec.encode(texts))
    ]


def _held_to(codec: TextCodec, text: EncodedText, *, limit: int, parameters: TaskParameters, index: int) -> EncodedText:
    if all(text.special):
        place = f"Input {index}" if index else "The input"
        raise InvalidRequestError(f"{place} is empty or has nothing that the tokenizer knows.", param="inputs")
    if len(text) <= limit:
        return text
    if not parameters.truncate:
        raise InputTooLongError(tokens=len(text), limit=limit, index=index)
    return codec.truncate(text, limit, keep_end=(parameters.truncation_direction or "").lower() == "left")
