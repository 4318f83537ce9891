"""OpenAI's chat completions: request, answer, chunks of a stream."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_serializer

from llmi_server.generation.answer import ToldToken
from llmi_server.generation.prompts import Message
from llmi_server.generation.service import Ask
from llmi_server.schema.generation import Finish, GenerationRequest, TokenCount, Usage
from llmi_server.schema.request import RequestBody

_MOST_MESSAGES = 2048


class TextPart(RequestBody):
    """A part of a message; only text is understood."""

    type: Literal["text"]
    text: str


class ChatMessage(RequestBody):
    """One contribution to the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=1024)]
    name: str | None = Field(default=None, description="Taken and ignored.")

    def to_message(self) -> Message:
        """Return the message as text; a developer is what was called the system before."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message(role="system" if self.role == "developer" else self.role, content=text)


class ResponseFormat(RequestBody):
    """Form of the answer; only text."""

    type: Literal["text"]


class ChatRequest(GenerationRequest):
    """Body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MOST_MESSAGES)]
    max_tokens: TokenCount | None = Field(default=None, description="Most tokens of the answer.")
    max_completion_tokens: TokenCount | None = Field(default=None, description="The same under its newer name.")
    logprobs: bool | None = Field(default=None, description="Tell the tokens' probabilities.")
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(
        default=None, description="How many likely tokens to tell beside each; only with logprobs."
    )
    response_format: ResponseFormat | None = Field(default=None, description="Only text.")
    tools: list[object] | None = Field(default=None, description="Not supported; may be empty.")
    tool_choice: Literal["none", "auto"] | None = Field(default=None, description="Taken and ignored.")
    store: Literal[False] | None = Field(default=None, description="Nothing is stored.")
    metadata: dict[str, str] | None = Field(default=None, description="Taken and ignored.")

    @field_validator("tools")
    @classmethod
    def _no_tools(cls, value: list[object] | None) -> None:
        if value:
            msg = "tools are not supported"
            raise ValueError(msg)

    def to_ask(self) -> Ask:
        """Return what is asked for."""
        newer = self.max_completion_tokens is not None
        return Ask(
            prompt=tuple(message.to_message() for message in self.messages),
            max_tokens=self.max_completion_tokens if newer else self.max_tokens,
            max_tokens_param="max_completion_tokens" if newer else "max_tokens",
            sampling=self.sampling((self.top_logprobs or 0) if self.logprobs else None),
            seed=self.seed,
            stops=self.stops,
        )


class TopLogprob(BaseModel):
    """A likely token."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token of the answer, and others that were likely."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """Probabilities of the answer's tokens."""

    content: list[TokenLogprob]


def tell_tokens(tokens: tuple[ToldToken, ...]) -> ChatLogprobs:
    """Return tokens with their probabilities."""
    return ChatLogprobs(
        content=[
            TokenLogprob(
                token=told.text,
                logprob=told.logprob or 0.0,
                bytes=list(told.text.encode()),
                top_logprobs=[
                    TopLogprob(token=text, logprob=logprob, bytes=list(text.encode())) for text, logprob in told.top
                ],
            )
            for told in tokens
        ]
    )


class AssistantMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str


class ChatChoice(BaseModel):
    """The one answer."""

    index: int = 0
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish


class ChatCompletion(BaseModel):
    """Answer of ``POST /v1/chat/completions``."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(BaseModel):
    """What a chunk adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None

    @model_serializer
    def _only_what_is_there(self) -> dict[str, str]:
        both = {"role": self.role, "content": self.content}
        return {name: value for name, value in both.items() if value is not None}


class ChunkChoice(BaseModel):
    """What a chunk adds to the one answer."""

    index: int = 0
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish | None = None


class ChatChunk(BaseModel):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
