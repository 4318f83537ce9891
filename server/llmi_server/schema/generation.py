"""What requests for generated text have in common: sampling, stop strings, usage."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, field_validator

from llmi_server.errors import InvalidRequestError
from llmi_server.generation.request import Sampling
from llmi_server.schema.request import RequestBody

MOST_STOPS = 16
_LONGEST_STOP = 256
LARGEST_SEED = 2**63 - 1

Stop: TypeAlias = Annotated[str, Field(min_length=1, max_length=_LONGEST_STOP)]
Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2)]
TopP: TypeAlias = Annotated[float, Field(gt=0, le=1)]
TopK: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000)]
Penalty: TypeAlias = Annotated[float, Field(ge=-2, le=2)]
Seed: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
TokenCount: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]


class StreamOptions(RequestBody):
    """What a stream holds besides the answer."""

    include_usage: bool = Field(default=False, description="End with a chunk that counts tokens.")


class GenerationRequest(RequestBody):
    """What OpenAI's two requests for generated text have in common."""

    model: str = Field(min_length=1, description="The served model's name.")
    stream: bool | None = Field(default=None, description="Answer piece by piece, as server-sent events.")
    stream_options: StreamOptions | None = Field(default=None, description="Only with stream.")
    temperature: Temperature | None = Field(default=None, description="0 takes the likeliest token; 1 if absent.")
    top_p: TopP | None = Field(default=None, description="Least total probability of the tokens considered.")
    top_k: TopK | None = Field(default=None, description="Most tokens considered (an extension).")
    seed: Seed | None = Field(default=None, description="The same seed draws alike.")
    stop: Stop | list[Stop] | None = Field(default=None, description="Strings that end the answer.")
    frequency_penalty: Penalty | None = Field(default=None, description="For each time that a token was generated.")
    presence_penalty: Penalty | None = Field(default=None, description="Once for a token that was generated.")
    n: int | None = Field(default=None, description="Number of answers; only 1.")
    logit_bias: dict[str, float] | None = Field(default=None, description="Not supported; may be empty.")
    user: str | None = Field(default=None, description="Taken and ignored.")

    @field_validator("n")
    @classmethod
    def _one_answer(cls, value: int | None) -> int | None:
        if value not in (None, 1):
            msg = "only one answer is given for a request; send n: 1"
            raise ValueError(msg)
        return value

    @field_validator("logit_bias")
    @classmethod
    def _no_bias(cls, value: dict[str, float] | None) -> None:
        if value:
            msg = "is not supported"
            raise ValueError(msg)

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > MOST_STOPS:
            msg = f"at most {MOST_STOPS} stop strings are taken"
            raise ValueError(msg)
        return value

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a count of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, top_logprobs: int | None) -> Sampling:
        """Return how tokens are chosen."""
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=self.top_k or 0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            top_logprobs=top_logprobs,
        )

    def check_stream_options(self) -> None:
        """Refuse options of a stream without one.

        Raises:
            InvalidRequestError: There are some.
        """
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options is only taken with stream: true.", param="stream_options")


class Usage(BaseModel):
    """Tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def count_usage(prompt: int, completion: int) -> Usage:
    """Return the count of tokens."""
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


Finish = Literal["stop", "length"]
