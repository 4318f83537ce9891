"""What a trace is made of, for code that knows no SDK. Without tracing there are no spans: each is None."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, Self

Attributes = Mapping[str, str | bool | int | float]


class Span(Protocol):
    """A piece of work with a beginning and an end."""

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

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request carries, so that whoever answers it can go on with the trace."""
        ...

    def call(self, name: str, attributes: Attributes) -> Self:
        """Begin a call that is a part of this work."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add facts."""
        ...

    def end(self, *, error: str | None = None) -> None:
        """End now; ``error`` is a short word for what went wrong. Ending again changes nothing."""
        ...


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, name: str, attributes: Attributes) -> Span:
        """Begin a trace."""
        ...

    def stop(self) -> None:
        """Send what is left, for a bounded time."""
        ...


_CURRENT: ContextVar[Span | None] = ContextVar("llmi_current_span", default=None)


def current_span() -> Span | None:
    """Return the piece of work that the running code is a part of."""
    return _CURRENT.get()


@contextmanager
def tracing(span: Span | None) -> Iterator[Span | None]:
    """Make a span the current one for the block, and for the tasks begun in it, and end it with the block."""
    if span is None:
        yield None
        return
    token = _CURRENT.set(span)
    try:
        yield span
    except BaseException as error:
        span.end(error=type(error).__name__)
        raise
    finally:
        _CURRENT.reset(token)
        span.end()


@contextmanager
def calling(name: str, attributes: Attributes) -> Iterator[Span | None]:
    """Trace the block as a call that belongs to the current piece of work; outside of one it is not traced."""
    parent = _CURRENT.get()
    with tracing(None if parent is None else parent.call(name, attributes)) as span:
        yield span


def exemplar_of(span: Span | None) -> dict[str, str] | None:
    """Return what makes a measurement an example of a span's trace."""
    return None if span is None or not span.is_recorded else {"trace_id": span.trace_id, "span_id": span.span_id}
