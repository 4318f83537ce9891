"""Hugging Face's text generation: ``inputs``, ``parameters``, and a stream of tokens."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from llmi_server.generation.request import Sampling
from llmi_server.generation.service import Ask
from llmi_server.schema.generation import MOST_STOPS, Penalty, Seed, Stop, TokenCount, TopK, TopP
from llmi_server.schema.request import RequestBody

_DEFAULT_TOKENS = 100


class TextGenerationParameters(RequestBody):
    """Parameters of Hugging Face's text generation. Without sampling parameters the likeliest tokens are taken."""

    max_new_tokens: TokenCount = Field(default=_DEFAULT_TOKENS, description="Most tokens of the answer.")
    do_sample: bool | None = Field(default=None, description="Draw tokens; on if a sampling parameter is there.")
    temperature: Annotated[float, Field(gt=0, le=100)] | None = Field(default=None, description="1 if absent.")
    top_p: TopP | None = Field(default=None, description="Least total probability of the tokens considered.")
    top_k: TopK | None = Field(default=None, description="Most tokens considered.")
    seed: Seed | None = Field(default=None, description="The same seed draws alike.")
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = Field(default=None, description="1 is none.")
    frequency_penalty: Penalty | None = Field(default=None, description="For each time that a token was generated.")
    stop: Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = Field(default=None, description="Ends the text.")
    return_full_text: bool | None = Field(default=None, description="Put the prompt in front of the answer.")
    truncate: TokenCount | None = Field(default=None, description="Keep only this many of the prompt's last tokens.")
    details: bool | None = Field(default=None, description="Tell tokens and why the answer ended.")
    decoder_input_details: Literal[False] | None = Field(default=None, description="Not supported.")
    best_of: Literal[1] | None = Field(default=None, description="Only 1.")
    watermark: Literal[False] | None = Field(default=None, description="Not supported.")

    def sampling(self) -> Sampling:
        """Return how tokens are chosen."""
        implied = any(value is not None for value in (self.temperature, self.top_p, self.top_k))
        draws = implied if self.do_sample is None else self.do_sample
        return Sampling(
            temperature=(self.temperature or 1.0) if draws else 0.0,
            top_p=self.top_p or 1.0,
            top_k=self.top_k or 0,
            repetition_penalty=self.repetition_penalty or 1.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            top_logprobs=0,
        )


class TextGenerationRequest(RequestBody):
    """Continue one text."""

    inputs: str
    parameters: TextGenerationParameters = TextGenerationParameters()
    stream: bool | None = Field(default=None, description="Answer token by token, as server-sent events.")

    def to_ask(self) -> Ask:
        """Return what is asked for."""
        parameters = self.parameters
        return Ask(
            prompt=self.inputs,
            max_tokens=parameters.max_new_tokens,
            max_tokens_param="max_new_tokens",
            sampling=parameters.sampling(),
            seed=parameters.seed,
            stops=tuple(parameters.stop or ()),
            keep_last=parameters.truncate,
        )


HuggingFaceFinish = Literal["length", "eos_token", "stop_sequence"]


class GeneratedToken(BaseModel):
    """One token."""

    id: int
    logprob: float
    special: bool = False
    text: str


class GenerationDetails(BaseModel):
    """Tokens of an answer, and why it ended."""

    finish_reason: HuggingFaceFinish
    generated_tokens: int
    seed: int | None = None
    prefill: list[GeneratedToken] = []
    tokens: list[GeneratedToken] = []


class GeneratedText(BaseModel):
    """The answer for one text."""

    generated_text: str
    details: GenerationDetails | None = None


class StreamDetails(BaseModel):
    """Why a stream's answer ended."""

    finish_reason: HuggingFaceFinish
    generated_tokens: int
    input_length: int
    seed: int | None = None


class StreamedToken(BaseModel):
    """One event of a stream."""

    index: int
    token: GeneratedToken
    generated_text: str | None = None
    details: StreamDetails | None = None
