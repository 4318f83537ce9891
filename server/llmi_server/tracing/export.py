"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only when traces are asked for."""

import logging
import os
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

from llmi_server.tracing.spans import Attributes

DEFAULT_SERVICE_NAME = "llminference-server"
_LAST_WORDS_SECONDS = 2.0
_QUIET_SECONDS = 60.0
_LOGGERS = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")


def make_tracer(*, model: str, task: str) -> "OtlpTracer":
    """Return a tracer that is set up by OpenTelemetry's variables.

    Raises:
        Exception: Whatever the SDK has against them.
    """
    provider = TracerProvider(resource=_resource(model, task), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_NowAndThen())
    return OtlpTracer(provider)


class OtlpTracer:
    """Begins spans of requests. Sending happens on a thread of the SDK's, from a bounded queue."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("llmi_server", version("llminference"))
        wanted = os.environ.get("OTEL_PROPAGATORS") or "tracecontext"
        self._listens = "tracecontext" in [name.strip() for name in wanted.split(",")]
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, *, headers: Mapping[str, str], attributes: Attributes) -> "OtlpSpan":
        """Begin the span of a request, within the trace that ``traceparent`` names if it does."""
        span = self._tracer.start_span(name, self._read(headers), trace.SpanKind.SERVER, attributes)
        return OtlpSpan(self._tracer, span)

    def join(self, headers: Mapping[str, str]) -> "OtlpSpan | None":
        """Return the span that ``traceparent`` names; None if there is none, or it is not sampled."""
        span = trace.get_current_span(self._read(headers))
        return OtlpSpan(self._tracer, span) if span.get_span_context().trace_flags.sampled else None

    def _read(self, headers: Mapping[str, str]) -> Context:
        known = {key: headers[key] for key in ("traceparent", "tracestate") if key in headers}
        return self._propagator.extract(known, Context()) if self._listens else Context()

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

    def child(self, name: str, attributes: Attributes | None = None) -> "OtlpSpan":
        """Begin a piece of this work."""
        context = trace.set_span_in_context(self._span, Context())
        return OtlpSpan(self._tracer, self._tracer.start_span(name, context, attributes=attributes))

    def link(self, other: "OtlpSpan") -> None:
        """Point to work that belongs to another request."""
        if self.is_recorded:
            self._span.add_link(other._span.get_span_context())  # noqa: SLF001 - of its own kind

    def rename(self, name: str) -> None:
        """Take a better name."""
        if self.is_recorded:
            self._span.update_name(name)

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


def _resource(model: str, task: str) -> Resource:
    """Say who sends the spans; what the variables say of it wins."""
    ours = {"service.name": DEFAULT_SERVICE_NAME, "service.version": version("llminference")}
    described = Resource({**ours, "llmi.model": model, "llmi.task": task})
    return Resource.create(described.merge(OTELResourceDetector().detect()).attributes)
