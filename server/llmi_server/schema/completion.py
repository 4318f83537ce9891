"""OpenAI's older completions: a text to be continued."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

from llmi_server.generation.answer import ToldToken
from llmi_server.generation.service import Ask
from llmi_server.schema.generation import Finish, GenerationRequest, TokenCount, Usage

_DEFAULT_TOKENS = 16


class CompletionRequest(GenerationRequest):
    """Body of ``POST /v1/completions``."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)] = Field(description="One text.")
    max_tokens: TokenCount = Field(default=_DEFAULT_TOKENS, description="Most tokens of the answer.")
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(
        default=None, description="Tell the tokens' probabilities, and those of this many likely ones."
    )
    echo: Literal[False] | None = Field(default=None, description="The prompt is never repeated.")
    best_of: int | None = Field(default=None, description="Only 1.")
    suffix: None = Field(default=None, description="Not supported.")

    @field_validator("best_of")
    @classmethod
    def _best_of_one(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            msg = "only one answer is computed; send best_of: 1"
            raise ValueError(msg)
        return value

    def to_ask(self) -> Ask:
        """Return what is asked for."""
        return Ask(
            prompt=self.prompt if isinstance(self.prompt, str) else self.prompt[0],
            max_tokens=self.max_tokens,
            sampling=self.sampling(self.logprobs),
            seed=self.seed,
            stops=self.stops,
        )


class CompletionLogprobs(BaseModel):
    """Probabilities of the answer's tokens, in the older form."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


def tell_tokens(tokens: tuple[ToldToken, ...], *, offset: int, with_top: bool) -> CompletionLogprobs:
    """Return tokens with their probabilities.

    Args:
        tokens: The tokens.
        offset: Place in the answer's text where the first of them begins.
        with_top: Whether other likely tokens are told.
    """
    offsets = []
    for told in tokens:
        offsets.append(offset)
        offset += len(told.text)
    return CompletionLogprobs(
        tokens=[told.text for told in tokens],
        token_logprobs=[told.logprob or 0.0 for told in tokens],
        top_logprobs=[dict(told.top) for told in tokens] if with_top else None,
        text_offset=offsets,
    )


class CompletionChoice(BaseModel):
    """The one answer, or what a chunk adds to it."""

    index: int = 0
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Finish | None = None


class Completion(BaseModel):
    """Answer of ``POST /v1/completions``, and one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
