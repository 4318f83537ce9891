"""Traces as a collector gets them: from a real server through OpenTelemetry's SDK to our own OTLP receiver."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading

import pytest

from llmi_api.launch import Task
from llmi_server.tracing.start import start_tracing
from llmi_testing.engine import FakeEngine, fake_model
from llmi_testing.eventually import eventually
from llmi_testing.generation import generating_server
from llmi_testing.otlp_receiver import attributes, receiving_soon, wait_for_last_words
from llmi_testing.server import MODEL_NAME, running_server

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLED = {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "id-1"}
SECRET = "swordfish"


@pytest.fixture
def collector(monkeypatch):
    with receiving_soon(monkeypatch) as received:
        yield received


@contextlib.contextmanager
def tracing(task=Task.EMBEDDINGS):
    tracer = start_tracing(os.environ, model=MODEL_NAME, task=task)
    assert tracer is not None
    try:
        yield tracer
    finally:
        tracer.stop()
        wait_for_last_words()


def embed(server, text="a b", **headers):
    return server.http.post("/v1/embeddings", json={"model": MODEL_NAME, "input": text}, headers=headers)


def test_a_request_continues_its_callers_trace_down_to_the_batch(collector):
    with tracing() as tracer, running_server(tracer=tracer) as server:
        assert embed(server, f"{SECRET} b", **CALLED).status_code == 200
        names = ("POST /v1/embeddings", "queue", f"embeddings {MODEL_NAME}", "batch")
        request, queue, inference, batch = collector.named(*names)
    assert {span.trace_id.hex() for span in (request, queue, inference, batch)} == {TRACE}
    assert request.parent_span_id.hex() == CALLER
    assert queue.parent_span_id == inference.parent_span_id == request.span_id
    assert batch.parent_span_id == inference.span_id
    assert [link.span_id for link in batch.links] == [request.span_id]
    assert request.start_time_unix_nano <= queue.start_time_unix_nano <= queue.end_time_unix_nano
    assert inference.start_time_unix_nano <= batch.start_time_unix_nano <= batch.end_time_unix_nano
    assert inference.end_time_unix_nano <= request.end_time_unix_nano
    assert request.kind == request.SPAN_KIND_SERVER


def test_a_traced_request_is_an_example_of_what_was_measured_of_it(collector):
    with tracing() as tracer, running_server(tracer=tracer) as server:
        assert embed(server, **CALLED).status_code == 200

        def examples():
            text = server.http.get("/metrics", headers={"accept": "application/openmetrics-text"}).text
            return {line.split("_bucket")[0] for line in text.splitlines() if f'trace_id="{TRACE}"' in line}

        measured = {"gen_ai_server_request_duration_seconds", "llmi_request_queue_seconds"}
        eventually(lambda: examples() == measured, "both have it")


def test_attributes_have_the_conventions_names_and_none_of_the_text(collector):
    with tracing() as tracer, running_server(tracer=tracer) as server:
        embed(server, f"{SECRET} b", **CALLED)
        request, inference, batch = collector.named("POST /v1/embeddings", f"embeddings {MODEL_NAME}", "batch")
    http = attributes(request.attributes)
    assert http["http.request.method"] == "POST"
    assert http["http.route"] == http["url.path"] == "/v1/embeddings"
    assert http["http.response.status_code"] == 200
    assert http["server.port"] == server.port
    assert http["http.response.header.x-request-id"] == ["id-1"]
    asked = attributes(inference.attributes)
    assert asked == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "llminference",
        "gen_ai.request.model": MODEL_NAME,
        "gen_ai.usage.input_tokens": 4,
    }
    assert attributes(batch.attributes) == {"llmi.batch.texts": 1, "llmi.batch.tokens": 4}
    assert SECRET not in str(collector.spans)
    assert (collector.paths[0], collector.content_types) == ("/v1/traces", {"application/x-protobuf"})
    assert collector.resources[0]["service.name"] == "llminference-server"
    assert collector.resources[0]["llmi.model"] == MODEL_NAME


def test_a_batch_is_linked_with_every_request_in_it(collector):
    engine = FakeEngine()
    with tracing() as tracer, running_server(fake_model(engine=engine), tracer=tracer) as server:
        engine.hold()
        first = threading.Thread(target=embed, args=(server, "first"))
        first.start()
        engine.entered.acquire()  # it is being computed, so that the others wait and are computed together
        others = [threading.Thread(target=embed, args=(server, text)) for text in ("a", "b")]
        for other in others:
            other.start()
        eventually(lambda: server.telemetry.requests_waiting._value.get() == 2)
        engine.gate.set()
        for thread in (first, *others):
            thread.join()
        requests = {span.span_id for span in collector.several("POST /v1/embeddings", 3)}
        tracer.stop()
    batches = [span for span in collector.spans if span.name == "batch"]
    assert {link.span_id for batch in batches for link in batch.links} == requests
    assert sorted(len(batch.links) for batch in batches) in ([1, 2], [1, 1, 1])


def test_a_failed_batch_is_an_error_in_every_span_of_it(collector):
    engine = FakeEngine()
    with tracing() as tracer, running_server(fake_model(engine=engine), tracer=tracer) as server:
        engine.error = ValueError(SECRET)
        assert embed(server).status_code == 500
        spans = collector.named("POST /v1/embeddings", f"embeddings {MODEL_NAME}", "batch")
    errors = [attributes(span.attributes)["error.type"] for span in spans]
    assert errors == ["500", "EngineFailedError", "ValueError"]
    assert {span.status.code for span in spans} == {2}
    assert SECRET not in str(collector.spans)


def test_a_refused_request_has_its_span_and_probes_have_none(collector):
    with tracing() as tracer, running_server(tracer=tracer) as server:
        for path in ("/livez", "/readyz", "/metrics", "/page/main.js"):
            server.http.get(path)
        assert server.http.post("/v1/embeddings", json={}).status_code == 400
        assert server.http.get("/nothing").status_code == 404
        collector.named("POST /v1/embeddings", "GET")
        tracer.stop()
    assert {span.name for span in collector.spans} == {"POST /v1/embeddings", "GET"}


def test_a_caller_that_does_not_sample_is_heeded(collector):
    with tracing() as tracer, running_server(tracer=tracer) as server:
        embed(server, traceparent=f"00-{TRACE}-{CALLER}-00")
        embed(server, traceparent="nonsense")
        collector.named("POST /v1/embeddings")
        tracer.stop()
    assert TRACE not in {span.trace_id.hex() for span in collector.spans}
    assert [span.name for span in collector.spans].count("batch") == 1


def test_a_conversation_has_spans_for_queue_prefill_and_decode(collector):
    body = {
        "model": MODEL_NAME,
        "messages": [{"role": "user", "content": SECRET}],
        "max_tokens": 5,
        "temperature": 0.5,
        "stop": [SECRET],
    }
    with tracing(Task.TEXT_GENERATION) as tracer, generating_server(tracer=tracer) as server:
        for stream in (False, True):
            answer = server.http.post("/v1/chat/completions", json={**body, "stream": stream}, headers=CALLED)
            assert answer.status_code == 200
        collector.several("POST /v1/chat/completions", 2)
        tracer.stop()
    chat = f"chat {MODEL_NAME}"
    counts = {name: sum(span.name == name for span in collector.spans) for name in ("queue", chat, "prefill", "decode")}
    assert counts == {"queue": 2, chat: 2, "prefill": 2, "decode": 2}
    request, inference, prefill, decode = collector.named("POST /v1/chat/completions", chat, "prefill", "decode")
    assert request.trace_id.hex() == TRACE
    assert inference.parent_span_id == request.span_id
    assert prefill.parent_span_id == decode.parent_span_id == inference.span_id
    assert prefill.end_time_unix_nano <= decode.start_time_unix_nano
    told = attributes(inference.attributes)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.max_tokens"] == 5
    assert told["gen_ai.request.temperature"] == 0.5
    assert 0 < told["gen_ai.usage.output_tokens"] <= 5
    assert told["gen_ai.response.finish_reasons"][0] in {"stop", "length"}
    assert SECRET not in str(collector.spans)


def test_a_collector_that_is_down_neither_slows_nor_breaks_requests(monkeypatch, caplog):
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # after which a batch is given up
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        with tracing() as tracer, running_server(tracer=tracer) as server, caplog.at_level(logging.WARNING):
            assert {embed(server).status_code for _ in range(50)} == {200}
        lines = [line for line in caplog.records if line.name.startswith("opentelemetry")]
    assert len(lines) <= 2


def test_a_wrong_variable_is_a_warning_and_the_server_serves(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert start_tracing(os.environ, model="m", task=Task.EMBEDDINGS) is None
    assert "Traces are off: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; only http/protobuf" in caplog.text


def test_what_only_the_sdk_refuses_is_a_warning_too(monkeypatch, caplog, collector):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100")
    assert start_tracing(os.environ, model="m", task=Task.EMBEDDINGS) is None
    assert "Traces are off: OpenTelemetry's SDK does not take its variables" in caplog.text


def test_without_traces_no_sdk_is_imported():
    code = (
        "import sys, llmi_server.serving as s; from llmi_server.tracing.start import start_tracing;"
        "assert start_tracing({}, model='m', task='embeddings') is None;"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter');"
        "print(sorted(name for name in sys.modules if name.startswith(heavy)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_log_lines_of_a_request_carry_its_ids(collector, caplog):
    from llmi_server.logs import JsonLines  # noqa: PLC0415 - the formatter is what is tested

    engine = FakeEngine()
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(json.loads(JsonLines().format(record)))

    handler = Keep()
    logging.getLogger("llmi_server.web.gate").addHandler(handler)
    try:
        with tracing() as tracer, running_server(fake_model(engine=engine), tracer=tracer) as server:
            with caplog.at_level(logging.DEBUG, "llmi_server.web.gate"):
                embed(server, **CALLED)
                eventually(lambda: len(lines) == 1, "the first is logged, which is after its answer")
            (request,) = collector.named("POST /v1/embeddings")
        with running_server() as untraced, caplog.at_level(logging.DEBUG, "llmi_server.web.gate"):
            embed(untraced, **CALLED)
            eventually(lambda: len(lines) == 2, "the second is logged")
    finally:
        logging.getLogger("llmi_server.web.gate").removeHandler(handler)
    traced, plain = lines
    span = request.span_id.hex()
    assert (traced["trace.id"], traced["span.id"], traced["transaction.id"]) == (TRACE, span, span)
    assert traced["http.request.id"] == plain["http.request.id"] == "id-1"
    assert (traced["http.response.status_code"], traced["event.outcome"]) == (200, "success")
    assert plain["trace.id"] == TRACE
    assert "span.id" not in plain
