"""Passes as a collector gets them: through OpenTelemetry's SDK to our own OTLP receiver."""

import io
import json
import logging
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration
from prometheus_client.openmetrics.exposition import generate_latest

from llmi_operator import worker
from llmi_operator.cluster.client import ApiCluster
from llmi_operator.kinds import INFERENCE
from llmi_operator.logs import set_up_logging
from llmi_operator.metrics import REGISTRY
from llmi_operator.reconcile import Parts
from llmi_operator.store import Key, Store
from llmi_operator.tracing.start import start_tracing
from llmi_operator.workqueue import WorkQueue
from llmi_testing.inference import DEFAULTS, make_stored_body
from llmi_testing.otlp_receiver import attributes, receiving_soon, wait_for_last_words

KEY = Key("models", "bert")
PASS = "reconcile LLMInference"
SECRET = "swordfish"


@pytest.fixture
def collector(monkeypatch):
    with receiving_soon(monkeypatch) as received:
        yield received


@pytest.fixture
def tracer(collector):
    tracer = start_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, "llminference-operator")
    yield tracer
    tracer.stop()


class Server:
    """An API server that knows nothing, takes everything, and remembers who asked within which trace."""

    def __init__(self):
        self.refused = None
        self.silent = False
        self.parents = {}

    async def answer(self, request):
        name = request.path.rsplit("/", 1)[-1]
        self.parents[request.method, request.path.split("/")[-2]] = request.headers.get("traceparent")
        if self.silent:
            request.transport.abort()
        if "llminferences" in request.path and request.method == "GET":
            return web.json_response(make_stored_body())
        if request.method == "GET":
            return web.json_response({"reason": "NotFound"}, status=404)
        sent = json.loads(await request.read())
        if sent["kind"] == self.refused:
            return web.json_response({"reason": "Forbidden", "message": SECRET}, status=403)
        sent["metadata"] |= {"uid": f"uid-of-{name}", "resourceVersion": "1"}
        return web.json_response(sent)


@pytest.fixture
async def server():
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    server.cluster = ApiCluster(ApiClient(Configuration(host=address)))
    yield server
    await server.cluster.close()
    await runner.cleanup()


async def make_pass(server, tracer):
    store, queue = Store(), WorkQueue(clock=time.monotonic)
    store.put(INFERENCE, make_stored_body())
    parts = Parts(server.cluster, store, DEFAULTS, lambda: datetime(2026, 5, 1, tzinfo=UTC), tracer=tracer)
    queue.open()
    queue.add(KEY)
    await worker._make_pass(parts, queue, await queue.take())
    queue.close()


async def test_a_pass_is_a_trace_with_its_calls_in_it(server, tracer, collector):
    await make_pass(server, tracer)
    tracer.stop()
    whole, read, write = collector.named(PASS, "get Deployment", "apply Deployment")
    assert {span.trace_id for span in collector.spans} == {whole.trace_id}
    assert {span.parent_span_id for span in collector.spans if span is not whole} == {whole.span_id}
    assert not whole.parent_span_id
    assert attributes(whole.attributes) == {
        "k8s.namespace.name": "models",
        "llmi.inference": "bert",
        "llmi.pass.result": "done",
    }
    assert attributes(write.attributes) == {
        "http.request.method": "PATCH",
        "url.path": "/apis/apps/v1/namespaces/models/deployments/bert",
        "http.response.status_code": 200,
        "k8s.namespace.name": "models",
        "llmi.object.kind": "Deployment",
        "llmi.object.name": "bert",
    }
    assert write.kind == write.SPAN_KIND_CLIENT
    assert whole.start_time_unix_nano <= write.start_time_unix_nano <= write.end_time_unix_nano
    assert write.end_time_unix_nano <= whole.end_time_unix_nano
    assert read.status.code == 0, "that it does not exist yet is no error"
    assert collector.resources[0]["service.name"] == "llminference-operator"


async def test_the_api_server_is_told_of_the_trace(server, tracer, collector):
    await make_pass(server, tracer)
    (write,) = collector.named("apply Deployment")
    parent = server.parents["PATCH", "deployments"]
    assert parent.startswith(f"00-{write.trace_id.hex()}-{write.span_id.hex()}-")


async def test_a_refused_call_is_an_error_and_its_words_stay_out(server, tracer, collector):
    server.refused = "Service"
    await make_pass(server, tracer)
    tracer.stop()
    (call,) = collector.named("apply Service")
    assert call.status.code == call.status.STATUS_CODE_ERROR
    assert attributes(call.attributes)["error.type"] == "403"
    assert SECRET not in str(collector.spans)


async def test_a_fault_is_an_error_of_the_whole_pass(server, tracer, collector, monkeypatch):
    async def fails(*_):
        raise ValueError(SECRET)

    monkeypatch.setattr(worker, "one_pass", fails)
    await make_pass(server, tracer)
    tracer.stop()
    (whole,) = collector.named(PASS)
    assert attributes(whole.attributes)["error.type"] == "ValueError"
    assert SECRET not in str(collector.spans)


async def test_a_call_without_an_answer_is_an_error(server, tracer, collector):
    server.silent = True
    await make_pass(server, tracer)
    tracer.stop()
    whole, call = collector.named(PASS, "get ServiceAccount")
    assert attributes(whole.attributes)["llmi.pass.result"] == "retry"
    assert attributes(call.attributes)["error.type"] == "ServerDisconnectedError"


async def test_lines_and_duration_of_a_pass_name_its_trace(server, tracer, collector, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    await make_pass(server, tracer)
    logging.getLogger("x").warning("Outside")
    (whole,) = collector.named(PASS)
    *inside, outside = map(json.loads, stream.getvalue().splitlines())
    applied = next(line for line in inside if line["message"] == "Applied child")
    assert applied["trace.id"] == whole.trace_id.hex()
    assert applied["span.id"] == whole.span_id.hex()
    assert applied["service.name"] == "llminference-operator"
    assert applied["llmi"]["inference"] == "bert"
    assert "trace.id" not in outside
    assert f'trace_id="{whole.trace_id.hex()}"' in generate_latest(REGISTRY).decode()


async def test_without_a_tracer_nothing_is_told(server):
    await make_pass(server, None)
    assert set(server.parents.values()) == {None}


def test_a_wrong_variable_is_a_warning_and_the_operator_works(caplog):
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert start_tracing(environment, "operator") is None
    assert "Traces are off: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; only http/protobuf" in caplog.text


def test_a_collector_that_is_down_costs_two_seconds_at_the_end(monkeypatch):
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        tracer = start_tracing({"OTEL_TRACES_EXPORTER": "otlp"}, "operator")
        tracer.begin(PASS, {}).end()
        began = time.monotonic()
        tracer.stop()
    assert time.monotonic() - began < 10
    wait_for_last_words()


def test_without_traces_no_sdk_is_imported():
    code = (
        "import sys, llmi_operator.logs; from llmi_operator.tracing.start import start_tracing;"
        "assert start_tracing({}, 'operator') is None;"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
