"""From texts and conversations to tokens, and back. Safe to call from several threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer

from llmi_api.failure import FailureCode
from llmi_server.errors import InvalidRequestError, StartupError
from llmi_server.generation.messages import TokenizerParts
from llmi_server.generation.template_client import TemplateClient


@dataclass(frozen=True, kw_only=True)
class Message:
    """One contribution to a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


Prompt = str | tuple[Message, ...]
"""A text to be continued, or a conversation to be answered."""


class PromptCodec:
    """Tokenises with the Rust tokenizer alone."""

    def __init__(self, parts: TokenizerParts) -> None:
        """Take over a tokenizer.

        Raises:
            StartupError: Its chat template is not one.
        """
        self._tokenizer: Tokenizer = Tokenizer.from_str(parts.definition)
        self._template: TemplateClient | None = None
        if parts.chat_template is not None:
            try:
                self._template = TemplateClient(parts.chat_template, parts.special)
            except ValueError as error:
                raise StartupError(
                    FailureCode.MODEL_INVALID,
                    f"The model's chat template cannot be read: {error}.",
                    next_step="Check the model's files, or choose another revision or model.",
                ) from None

    @property
    def converses(self) -> bool:
        """Whether the model says how conversations are put to it."""
        return self._template is not None

    def stop(self) -> None:
        """End what runs beside this process."""
        if self._template is not None:
            self._template.stop()

    def encode(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens.

        Raises:
            InvalidRequestError: The prompt is empty, or is a conversation that the model does not take.
        """
        if isinstance(prompt, str):
            tokens: list[int] = self._tokenizer.encode(prompt).ids
        else:
            tokens = self._tokenizer.encode(self._render(prompt), add_special_tokens=False).ids
        if not tokens:
            raise InvalidRequestError("The prompt is empty.", param="prompt")
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def spelling(self, token: int) -> str:
        """Return the text of one token, special or not."""
        text: str = self._tokenizer.decode([token], skip_special_tokens=False)
        return text

    def _render(self, messages: Sequence[Message]) -> str:
        if self._template is None:
            raise InvalidRequestError(
                "The model has no chat template, so it is not made for conversations. Use /v1/completions.",
                param="messages",
            )
        return self._template.render([{"role": message.role, "content": message.content} for message in messages])
