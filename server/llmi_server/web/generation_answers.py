"""How answers are gathered, for all routes that generate text."""

from dataclasses import dataclass

from llmi_server.generation.answer import ToldToken
from llmi_server.generation.service import Ask, Generation, GenerationService
from llmi_server.generation.steps import FinishReason


@dataclass(frozen=True, kw_only=True)
class WholeAnswer:
    """A complete answer.

    Attributes:
        text: Its text.
        tokens: Its tokens, if probabilities were asked for.
        finish: Why it ended.
        by_stop_string: Whether a stop string ended it.
        prompt_tokens: Tokens of the prompt.
        generated: Tokens that were generated.
    """

    text: str
    tokens: tuple[ToldToken, ...]
    finish: FinishReason
    by_stop_string: bool
    prompt_tokens: int
    generated: int


async def answer_whole(service: GenerationService, ask: Ask) -> WholeAnswer:
    """Return a complete answer.

    Raises:
        RequestError: There is none, and why.
    """
    async with service.generate(ask) as generation:
        return await _gathered(generation)


async def _gathered(generation: Generation) -> WholeAnswer:
    pieces = [piece async for piece in generation]
    last = pieces[-1]
    return WholeAnswer(
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        finish=last.finish or FinishReason.STOP,
        by_stop_string=last.by_stop_string,
        prompt_tokens=generation.prompt_tokens,
        generated=last.generated,
    )
