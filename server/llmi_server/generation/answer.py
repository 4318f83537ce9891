"""One answer in the making: tokens in, pieces of text out."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from llmi_server.errors import RequestError
from llmi_server.generation.answer_text import Detokenizer, StopFinder
from llmi_server.generation.messages import TokenChosen
from llmi_server.generation.prompts import PromptCodec
from llmi_server.generation.steps import FinishReason
from llmi_server.telemetry import Telemetry
from llmi_server.tracing.spans import exemplar_of
from llmi_server.tracing.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class ToldToken:
    """A token of the answer as clients see it.

    Attributes:
        token: Its id.
        text: Its own text, broken characters included.
        logprob: Natural logarithm of its probability, if that was asked for.
        top: Texts of likely tokens with the same, likeliest first.
    """

    token: int
    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The next part of an answer.

    Attributes:
        text: Its text.
        tokens: The tokens that the text so far comes from, each told once; only if probabilities were asked for.
        finish: Why the answer ends with this piece, if it does.
        by_stop_string: Whether a stop string ended it.
        generated: How many tokens have been generated in all.
    """

    text: str
    tokens: tuple[ToldToken, ...] = ()
    finish: FinishReason | None = None
    by_stop_string: bool = False
    generated: int


class Answer:
    """Listens to the engine, on its thread, and delivers pieces."""

    def __init__(
        self,
        *,
        codec: PromptCodec,
        stops: tuple[str, ...],
        tells_tokens: bool,
        deliver: Callable[[Piece | RequestError], None],
        on_start: Callable[[], None],
        on_stop_string: Callable[[], None],
        telemetry: Telemetry,
        operation: str = "chat",
        timeline: Timeline | None = None,
    ) -> None:
        self._codec = codec
        self._detokenizer = Detokenizer(codec.decode)
        self._stops = StopFinder(stops)
        self._tells_tokens = tells_tokens
        self._deliver = deliver
        self._on_start = on_start
        self._on_stop_string = on_stop_string
        self._telemetry = telemetry
        self._timeline = timeline
        self._exemplar = exemplar_of(timeline.request) if timeline else None
        self._operation = operation
        self._began = time.monotonic()
        self._last = 0.0
        self._generated = 0
        self._read = 0
        self._shown = 0
        self._untold: deque[tuple[int, ToldToken]] = deque()

    def started(self) -> None:
        """The engine has begun."""
        self._telemetry.request_begun(waited_seconds=time.monotonic() - self._began, exemplar=self._exemplar)
        if self._timeline is not None:
            self._timeline.begin("prefill")
        self._on_start()

    def chosen(self, token: TokenChosen) -> None:
        """There is one more token."""
        if self._stops.found:
            return
        self._generated += 1
        self._measure()
        ends_by_token = token.finish is FinishReason.STOP
        if self._tells_tokens and not ends_by_token:
            self._untold.append((self._read, self._told(token)))
        text = "" if ends_by_token else self._detokenizer.add(token.token)
        if token.finish is not None:
            text += self._detokenizer.flush()
        self._read += len(text)
        self._show(text, token.finish)

    def failed(self, error: RequestError) -> None:
        """There will be no more, for this reason."""
        self.ended(type(error).__name__)
        self._deliver(error)

    def ended(self, error: str | None, finish: FinishReason | None = None) -> None:
        """End the spans, unless they have ended; there may be more tokens, which nobody waits for."""
        if self._timeline is not None:
            found: dict[str, int | list[str]] = {"gen_ai.usage.output_tokens": self._generated}
            if finish is not None:
                found["gen_ai.response.finish_reasons"] = [finish.value]
            self._timeline.end(found, error=error)

    def _show(self, text: str, finish: FinishReason | None) -> None:
        shown = self._stops.add(text)
        if self._stops.found:
            finish = FinishReason.STOP
            self._on_stop_string()
        elif finish is not None:
            shown += self._stops.flush()
        self._shown += len(shown)
        tokens = self._tell(everything=finish is not None and not self._stops.found)
        if finish is not None:
            self.ended(None, finish)
        if shown or tokens or finish is not None:
            self._deliver(
                Piece(
                    text=shown,
                    tokens=tokens,
                    finish=finish,
                    by_stop_string=self._stops.found,
                    generated=self._generated,
                )
            )

    def _tell(self, *, everything: bool) -> tuple[ToldToken, ...]:
        """Return the tokens whose text has begun to be shown; those of a stop string are never told."""
        told = []
        while self._untold and (everything or self._untold[0][0] < self._shown):
            told.append(self._untold.popleft()[1])
        return tuple(told)

    def _told(self, token: TokenChosen) -> ToldToken:
        spell = self._codec.spelling
        top = tuple((spell(other), logprob) for other, logprob in token.top)
        return ToldToken(token=token.token, text=spell(token.token), logprob=token.logprob, top=top)

    def _measure(self) -> None:
        now = time.monotonic()
        if self._last:
            self._telemetry.next_token(self._operation, now - self._last)
        else:
            self._telemetry.first_token(self._operation, now - self._began, self._exemplar)
            if self._timeline is not None:
                self._timeline.enter("decode")
        self._last = now
