"""One request and one pass through everything: from a client's traceparent to a trace, and on to its lines."""

import json

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from llmi_api.launch import Task, short_name
from llmi_testing.apiserver import ApiServer
from llmi_testing.collector import ROOT
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.log_lines import CONTAINERD, RECORDED, flat
from llmi_testing.models import small_model
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.server import MODEL_NAME
from llmi_testing.space import Space
from llmi_testing.triton import NAME, running_triton

pytestmark = [pytest.mark.telemetry, pytest.mark.timeout(400)]
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
POD = {
    "pod_name": "bert-7d9c",
    "namespace_name": "models",
    "container_name": "server",
    "host": "node-1",
    "labels": {"app.kubernetes.io/part-of": "llminference", "llminference.dev/llminference": "bert"},
}
SECRET = "swordfish"


@pytest.fixture(scope="session")
def request_id(server):
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "id-1"}
    answer = server.http.post(f"/models/{MODEL_NAME}", json={"inputs": f"{SECRET} [MASK]"}, headers=headers)
    assert answer.status_code == 200, answer.text
    return "id-1"


def test_a_clients_trace_goes_on_through_route_queue_inference_and_batch(request_id, collector):
    names = ("POST /models/{name:path}", "queue", f"fill_mask {MODEL_NAME}", "batch")
    route, queue, inference, batch = collector.find(TRACE, *names)
    assert route["parentSpanId"] == CALLER
    assert queue["parentSpanId"] == inference["parentSpanId"] == route["spanId"]
    assert batch["parentSpanId"] == inference["spanId"]
    assert {span["service"] for span in (route, queue, inference, batch)} == {"llminference-server"}
    assert SECRET not in (collector.folder / "traces").read_text()


def test_jaeger_shows_the_clients_trace_as_one_and_finds_it_by_the_id_of_the_request(request_id, jaeger):
    names = ("POST /models/{name:path}", "queue", f"fill_mask {MODEL_NAME}", "batch")
    route, queue, inference, batch = jaeger.find(TRACE, *names)
    assert len(jaeger.trace(TRACE)) == len(names)
    assert [span.parent for span in (route, queue, inference, batch)] == [CALLER, route.id, route.id, inference.id]
    assert {span.service for span in (route, queue, inference, batch)} == {"llminference-server"}
    assert route.tags["http.response.status_code"] == 200
    assert jaeger.search("llminference-server", **{"http.route": route.tags["http.route"]}) == {TRACE}


def test_a_clients_trace_goes_on_through_triton_and_its_back_end(collector, jaeger, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    model, trace = short_name(NAME), TRACE.replace("4", "5")
    body = {"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [f"{SECRET} [MASK]"]}]}
    headers = {"traceparent": f"00-{trace}-{CALLER}-01"}
    with running_triton(small_model("bert", "fill-mask"), Task.FILL_MASK, tmp_path) as triton:
        answer = httpx.post(f"http://{triton.address}/v2/models/{model}/infer", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        names = ("InferRequest", model, "compute", "queue", f"fill_mask {NAME}", "batch")
        request, execution, compute, queue, inference, batch = jaeger.find(trace, *names)
    assert len(jaeger.trace(trace)) == len(names)
    assert (request.parent, execution.parent) == (CALLER, request.id)
    assert {span.parent for span in (compute, queue, inference)} == {execution.id}
    assert batch.parent == inference.id
    assert {span.service for span in (request, compute, inference)} == {"llminference-server"}
    assert SECRET not in (collector.folder / "traces").read_text()


def test_an_exemplar_leads_from_the_histogram_to_the_trace(request_id, server):
    text = server.http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}).text
    exemplars = {
        sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text)
        if family.name == "gen_ai_server_request_duration_seconds"
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars == {TRACE}


def test_lines_of_the_request_are_found_by_its_trace(request_id, server, collector, engine):
    lines = server.log.read_text().splitlines()
    pod = collector.folder / "pods" / "server.log"
    pod.write_text("".join(CONTAINERD.format(line=line) + "\n" for line in lines))
    read = eventually(lambda: set(lines) <= set(collector.log_lines()) and collector.log_lines(), seconds=60)
    engine.write({"@timestamp": "2026-11-26T03:00:00Z", "log": line, "kubernetes": POD} for line in read)
    (found,) = map(flat, engine.search(trace__id=TRACE))
    assert found["http.request.id"] == request_id
    assert found["http.response.status_code"] == 200
    assert found["service.name"] == "llminference-server"
    assert (found["llmi.inference"], found["llmi.namespace"], found["kubernetes.pod.name"]) == (
        "bert",
        "models",
        "bert-7d9c",
    )
    assert engine.search(llmi__inference="bert")
    assert not engine.search(message=SECRET)


@pytest.mark.parametrize(("line", "fields"), RECORDED, ids=range(len(RECORDED)))
def test_lines_of_other_servers_are_brought_to_the_same_fields(engine, line, fields):
    found = flat(engine.process(line))
    assert found.items() >= fields.items()
    assert found.keys() - fields.keys() <= {
        *("event.dataset", "message", "log.origin.file.name", "log.origin.file.line", "process.name", "process.pid")
    }


def test_a_fact_with_two_types_is_no_reason_to_lose_a_line(engine):
    for value in (3, "many", True, 0.5):
        line = json.dumps({"message": "m", "trace.id": "two-types", "llmi": {"texts": value}})
        engine.write([{"@timestamp": "2026-11-26T03:00:00Z", "log": line}])
    assert len(engine.search(trace__id="two-types")) == 4


def test_a_pass_of_the_operator_is_a_trace_and_its_lines_name_it(collector, jaeger, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with ApiServer() as api:
        api.kubectl("apply", "-k", str(ROOT / "deploy"))
        api.wait_until_types_are_served()
        account = api.kubeconfig_for_service_account("llminference-operator", "llminference-system")
        api.kubectl("create", "namespace", "models")
        with OperatorProcess(account, tmp_path / "log") as operator:
            eventually(operator.is_leader, seconds=60)
            Space(api, "models").apply(make_body())

            def applied():
                return [line for line in operator.lines() if line["message"] == "Applied child"]

            eventually(lambda: any(line["llmi"]["kind"] == "Deployment" for line in applied()), seconds=60)
            line = next(line for line in applied() if line["llmi"]["kind"] == "Deployment")
            names = ("reconcile LLMInference", "apply Deployment", "apply LLMInference")
            whole, *calls = collector.find(line["trace.id"], *names)
            shown, *shown_calls = jaeger.find(line["trace.id"], *names)
    assert whole["spanId"] == line["span.id"]
    assert {call["parentSpanId"] for call in calls} == {whole["spanId"]}
    assert whole["service"] == "llminference-operator"
    assert (shown.id, shown.parent, shown.service) == (whole["spanId"], None, "llminference-operator")
    assert {call.parent for call in shown_calls} == {shown.id}
    assert [call.tags["http.response.status_code"] for call in shown_calls] == [201, 200]
    engine.write([{"@timestamp": "2026-11-26T03:00:00Z", "log": json.dumps(line)}])
    (found,) = map(flat, engine.search(trace__id=line["trace.id"]))
    assert found["llmi.inference"] == "bert"
