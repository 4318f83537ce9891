"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only when traces are asked for."""

import logging
import threading
import time
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from llmi_operator.tracing.spans import Attributes

_LAST_WORDS_SECONDS = 2.0
_QUIET_SECONDS = 60.0
_LOGGERS = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")


def make_tracer(service: str) -> "OtlpTracer":
    """Return a tracer that is set up by OpenTelemetry's variables, for a program of this name unless they give one.

    Raises:
        Exception: Whatever the SDK has against them.
    """
    ours = Resource({"service.name": service, "service.version": version("llminference")})
    # What the variables say wins.
    resource = Resource.create(ours.merge(OTELResourceDetector().detect()).attributes)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_NowAndThen())
    return OtlpTracer(provider)


class OtlpTracer:
    """Begins traces. Sending happens on a thread of the SDK's, from a bounded queue."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("llmi_operator", version("llminference"))

    def begin(self, name: str, attributes: Attributes) -> "OtlpSpan":
        """Begin a trace."""
        return OtlpSpan(self._tracer, self._tracer.start_span(name, Context(), attributes=attributes))

    def stop(self) -> None:
        """Send what is left, for at most two seconds: a collector that is down must not hold up the end."""
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(_LAST_WORDS_SECONDS)


class OtlpSpan:
    """A span of the SDK's."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """The trace, as 32 hexadecimal digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """The span in it, as 16 hexadecimal digits."""
        return trace.format_span_id(self._span.get_span_context().span_id)

    @property
    def is_recorded(self) -> bool:
        """Whether it is sampled and has not ended."""
        return self._span.is_recording()

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request carries, so that whoever answers it can go on with the trace."""
        carried: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carried, self._context)
        return carried

    def call(self, name: str, attributes: Attributes) -> "OtlpSpan":
        """Begin a call that is a part of this work."""
        span = self._tracer.start_span(name, self._context, trace.SpanKind.CLIENT, attributes)
        return OtlpSpan(self._tracer, span)

    def note(self, attributes: Attributes) -> None:
        """Add facts."""
        if self.is_recorded:
            self._span.set_attributes(attributes)

    def end(self, *, error: str | None = None) -> None:
        """End now."""
        if self.is_recorded:
            if error is not None:
                self._span.set_attribute("error.type", error)
                self._span.set_status(trace.StatusCode.ERROR)
            self._span.end()

    @property
    def _context(self) -> Context:
        return trace.set_span_in_context(self._span, Context())


class _NowAndThen(logging.Filter):
    """Lets one line a minute through: a collector that is down is worth a word, not one for each batch."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -_QUIET_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's signature
        """Say whether the line passes."""
        now = time.monotonic()
        if now - self._last < _QUIET_SECONDS:
            return False
        self._last = now
        return True
