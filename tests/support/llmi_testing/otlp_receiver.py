"""A receiver of traces: our own HTTP server that reads OTLP with the protocol's own types, no collector."""

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_SECONDS = 60


@dataclass
class Received:
    """What has arrived."""

    url: str = ""
    status: int = 200
    paths: list[str] = field(default_factory=list)
    content_types: set[str | None] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, object]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def named(self, *names: str) -> list[Span]:
        """Wait until there is a span of each name and return them, in that order."""

        return [self.several(name, 1)[-1] for name in names]

    def of_trace(self, trace_id: str, *names: str) -> list[Span]:
        """Wait until a trace has a span of each name and return them, in that order."""

        def found() -> dict[str, Span]:
            return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}

        with self.changed:
            arrived = self.changed.wait_for(lambda: set(names) <= found().keys(), WAIT_SECONDS)
            assert arrived, f"not all of {names} among {sorted(found())}"
            return [found()[name] for name in names]

    def several(self, name: str, count: int) -> list[Span]:
        """Wait until there are as many spans of a name and return them."""

        def found() -> list[Span]:
            return [span for span in self.spans if span.name == name]

        with self.changed:
            arrived = self.changed.wait_for(lambda: len(found()) >= count, WAIT_SECONDS)
            assert arrived, f"not {count} of {name} among {[span.name for span in self.spans]}"
            return found()


def wait_for_last_words() -> None:
    """Wait until no tracer that was stopped still tries to send.

    It draws its pauses at random, and Hypothesis complains of a test in which anybody draws from Python's generator.
    """
    for thread in threading.enumerate():
        if thread.name == "last-spans":
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()


@contextmanager
def receiving_soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """Run a receiver to which this process sends its spans, and sends them soon."""
    with otlp_receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield received


@contextmanager
def otlp_receiver() -> Iterator[Received]:
    """Run a receiver while the block runs."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with received.changed:
                received.paths.append(self.path)
                received.content_types.add(self.headers["content-type"])
                if received.status == 200:
                    for group in _read(body, self.headers["content-type"]).resource_spans:
                        received.resources.append(attributes(group.resource.attributes))
                        received.spans += [span for scope in group.scope_spans for span in scope.spans]
                received.changed.notify_all()
            self.send_response(received.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _read(body: bytes, content_type: str | None) -> ExportTraceServiceRequest:
    """Read a request; in OTLP's JSON, which Triton sends, ids are hexadecimal, and not as protobuf has them."""
    if content_type != "application/json":
        return ExportTraceServiceRequest.FromString(body)
    text = re.sub(
        r'"((?:trace|span|parentSpan)Id)":\s*"([0-9a-f]*)"',
        lambda found: f'"{found[1]}": "{base64.b64encode(bytes.fromhex(found[2])).decode()}"',
        body.decode(),
    )
    return json_format.Parse(text, ExportTraceServiceRequest())


def attributes(pairs: "Iterator[KeyValue]") -> dict[str, object]:
    """Return attributes as plain values."""
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    return getattr(value, kind)
