"""What a trace is made of, for code that knows no SDK. Without tracing there are no spans: a request's is None."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, Self

Attributes = Mapping[str, str | bool | int | float | Sequence[str]]
"""Facts about a span, under the names of OpenTelemetry's semantic conventions. Never what clients wrote."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Span(Protocol):
    """A piece of work with a beginning and an end. All methods may be called from any thread."""

    @property
    def trace_id(self) -> str:
        """The trace, as 32 hexadecimal digits."""
        ...

    @property
    def span_id(self) -> str:
        """The span in it, as 16 hexadecimal digits."""
        ...

    @property
    def is_recorded(self) -> bool:
        """Whether it is sampled and has not ended."""
        ...

    def child(self, name: str, attributes: Attributes | None = None) -> Self:
        """Begin a piece of this work."""
        ...

    def link(self, other: Self) -> None:
        """Point to work that belongs to another request."""
        ...

    def rename(self, name: str) -> None:
        """Take a better name."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add facts."""
        ...

    def end(self, *, error: str | None = None) -> None:
        """End now; ``error`` is a short word for what went wrong. Ending again changes nothing."""
        ...


class Tracer(Protocol):
    """Begins traces, or goes on with those of callers."""

    def begin(self, name: str, *, headers: Mapping[str, str], attributes: Attributes) -> Span:
        """Begin the span of a request, within the trace that its headers name if they do."""
        ...

    def join(self, headers: Mapping[str, str]) -> Span | None:
        """Return the span that headers name, which somebody else began and ends; None if it is not recorded."""
        ...

    def stop(self) -> None:
        """Send what is left, for a bounded time."""
        ...


@dataclass(frozen=True, kw_only=True)
class CurrentRequest:
    """The request that the running code works for.

    Attributes:
        request_id: Its id, as its client sees it.
        trace_id: The trace it belongs to, if that is known.
        span: Its span, if there is one and it is sampled.
        span_id: The id of that span, sampled or not.
    """

    request_id: str
    trace_id: str | None = None
    span_id: str | None = None
    span: Span | None = None


_CURRENT: ContextVar[CurrentRequest | None] = ContextVar("llmi_current_request", default=None)


def current_request() -> CurrentRequest | None:
    """Return the request that the running code works for, if it works for one."""
    return _CURRENT.get()


def current_span() -> Span | None:
    """Return that request's span, if it has one that is sampled."""
    request = _CURRENT.get()
    return None if request is None else request.span


@contextmanager
def working_for(request: CurrentRequest) -> Iterator[None]:
    """Say for the block, and for the tasks begun in it, which request they work for."""
    token = _CURRENT.set(request)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@contextmanager
def ending(span: Span | None) -> Iterator[None]:
    """End a span with the block, and with the name of the exception that it raises; without a span do nothing."""
    try:
        yield
    except Exception as error:
        if span is not None:
            span.end(error=type(error).__name__)
        raise
    if span is not None:
        span.end()


def exemplar_of(span: Span | None) -> dict[str, str] | None:
    """Return what makes a measurement an example of a span's trace."""
    return None if span is None else {"trace_id": span.trace_id, "span_id": span.span_id}


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace that a ``traceparent`` header names; None if it is absent or malformed."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found else None
