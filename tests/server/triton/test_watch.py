"""A real Triton with our back end, judged by Triton's own client and held to the bundled server's answers."""

import json
import os
import signal
import threading
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import tritonclient.http as client
from tritonclient.utils import InferenceServerException

from llmi_api.failure import EXIT_CODES, FailureCode
from llmi_api.launch import Device, Precision, Task, short_name
from llmi_api.metric_names import RUNNING_METRIC
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import LoadRequest
from llmi_server.settings import TritonSettings
from llmi_server.triton.program import child_environment
from llmi_testing.eventually import eventually
from llmi_testing.models import small_model, tiny_bert
from llmi_testing.otlp_receiver import attributes, receiving_soon
from llmi_testing.server import running_server
from llmi_testing.triton import NAME, RunningTriton, running_triton, start_triton, stop
from llmi_testing.watching import Watching

MODEL = short_name(NAME)
CITIES = ["The capital of France is [MASK].", "The sky is [MASK]."]
TEXTS = ["a", "some words more", "Grüße"]
PRECISION = "float32"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
IN_FLIGHT = (RUNNING_METRIC, "nv_inference_pending_request_count")


@pytest.fixture(scope="module")
def collector():
    with pytest.MonkeyPatch.context() as environment, receiving_soon(environment) as received:
        yield received


@pytest.fixture(scope="module")
def masks(tmp_path_factory, collector):
    with running_triton(tiny_bert(), Task.FILL_MASK, tmp_path_factory.mktemp("m"), precision=PRECISION) as running:
        yield running


@contextmanager
def bundled(folder, task):
    request = LoadRequest(
        folder=folder, task=task, precision=Precision.FLOAT32, device=Device.CPU, max_batch_tokens=8192
    )
    with running_server(load_model(request, watcher=Watching()), task=task, model_name=NAME) as server:
        yield f"127.0.0.1:{server.port}"


def ask(address, output, texts, **parameters):
    tensor = client.InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(-1, 1))
    with client.InferenceServerClient(address) as triton:
        return triton.infer(MODEL, [tensor], parameters=parameters or None).as_numpy(output)


def scores_and_rest(answers):
    """Numbers apart from words: numbers may differ in the last places."""
    rows = [row for answer in answers.reshape(-1) for row in json.loads(answer)]
    return [row.pop("score") for row in rows], rows


def assert_same_words(task, folder, triton, texts, **parameters):
    with bundled(folder, task) as address:
        expected = ask(address, "answer", texts, **parameters)
    got = ask(triton.address, "answer", texts, **parameters)
    assert got.shape == expected.shape == (len(texts), 1)
    (scores, rest), (expected_scores, expected_rest) = scores_and_rest(got), scores_and_rest(expected)
    assert rest == expected_rest
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4)


def test_masks_are_filled_as_the_bundled_server_fills_them(masks):
    assert_same_words(Task.FILL_MASK, tiny_bert(), masks, CITIES, top_k=3)


def test_a_callers_trace_goes_on_through_triton_down_to_the_batch(masks, collector):
    tensor = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": CITIES[:1]}
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    url = f"http://{masks.address}/v2/models/{MODEL}/infer"
    assert httpx.post(url, json={"inputs": [tensor]}, headers=headers, timeout=60).status_code == 200
    names = ("InferRequest", MODEL, "compute", "queue", f"fill_mask {NAME}", "batch")
    request, execution, compute, queue, inference, batch = collector.of_trace(TRACE, *names)
    assert (request.parent_span_id.hex(), execution.parent_span_id) == (CALLER, request.span_id)
    assert {span.parent_span_id for span in (compute, queue, inference)} == {execution.span_id}
    assert batch.parent_span_id == inference.span_id
    assert attributes(inference.attributes)["gen_ai.usage.input_tokens"] > 0
    assert {one["service.name"] for one in collector.resources} == {"llminference-server"}


@pytest.mark.parametrize(("sampler", "followed"), [("traceidratio", True), ("never", False)])
def test_the_back_end_keeps_the_traces_that_triton_keeps_and_a_wrong_variable_reaches_it(sampler, followed):
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_SAMPLER": sampler}
    settings = TritonSettings(model_name=NAME, task=Task.FILL_MASK)
    found = child_environment(given, settings)
    assert found["OTEL_TRACES_SAMPLER"] == ("parentbased_always_off" if followed else sampler)


def test_bad_input_is_a_400_that_says_why_and_fails_no_request_beside_it(masks):
    with pytest.raises(InferenceServerException, match="has no mask") as caught:
        ask(masks.address, "answer", ["no mask"])
    assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException, match="top_j is not supported"):
        ask(masks.address, "answer", CITIES, top_j=1)
    burst = run_together(masks, [*[CITIES[:1], ["no mask"]] * 8])
    assert [status for status, _ in burst] == [200, 400] * 8


def test_requests_that_come_together_are_computed_together_and_its_metrics_say_so(masks):
    def batched():
        before = masks.metric("nv_inference_count"), masks.metric("nv_inference_exec_count")
        assert all(status == 200 for status, _ in run_together(masks, [CITIES[:1]] * 32))
        requests = masks.metric("nv_inference_count") - before[0]
        return requests == 32 > masks.metric("nv_inference_exec_count") - before[1]

    eventually(batched, "fewer executions than requests", seconds=60)


def test_what_could_load_code_or_write_files_is_closed(masks):
    for path in ("repository/index", f"repository/models/{MODEL}/unload", "trace/setting", "logging"):
        assert httpx.post(f"http://{masks.address}/v2/{path}", json={}).status_code == 403
    assert httpx.get(f"http://{masks.address}/v2/systemsharedmemory/status").status_code == 403


def test_a_back_end_that_is_killed_ends_the_container_at_once_and_says_so(masks):
    """The last one with this server: Triton itself would say for ever that it is ready."""
    assert masks.is_ready()
    os.kill(masks.back_end(), signal.SIGKILL)
    assert masks.process.wait(60) == EXIT_CODES[FailureCode.LOAD_FAILED]
    assert not masks.is_ready()
    assert "ended by itself" in json.loads(masks.message.read_text())["message"]


def test_classes_are_the_bundled_servers_and_a_stop_answers_what_was_accepted(tmp_path):
    folder = small_model("bert", "text-classification")
    with running_triton(folder, Task.TEXT_CLASSIFICATION, tmp_path, precision=PRECISION) as triton:
        assert_same_words(Task.TEXT_CLASSIFICATION, folder, triton, TEXTS, top_k=2)
        many = ["some words more"] * 250
        answers: list[tuple[int, bytes]] = []
        asking = threading.Thread(target=lambda: answers.extend(run_together(triton, [many] * 24)))
        asking.start()
        eventually(
            lambda: all(triton.metric(name) >= 1 for name in IN_FLIGHT), "some are computed, others wait", seconds=90
        )
        triton.process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert [status for status, _ in answers] == [200] * 24
        assert triton.process.wait(60) == 0
        assert not triton.message.exists()


def test_vectors_are_those_of_the_bundled_server(tmp_path):
    folder = small_model("bert", "base")
    with bundled(folder, Task.EMBEDDINGS) as address:
        expected = ask(address, "embedding", TEXTS)
    with running_triton(folder, Task.EMBEDDINGS, tmp_path, precision=PRECISION) as triton:
        np.testing.assert_allclose(ask(triton.address, "embedding", TEXTS), expected, atol=1e-5)


def test_a_model_that_cannot_be_served_ends_it_with_the_reason_that_the_bundled_server_gives(tmp_path):
    triton = start_triton(small_model("bert", "base"), Task.FILL_MASK, tmp_path)
    try:
        assert triton.process.wait(90) == EXIT_CODES[FailureCode.TASK_MISMATCH]
        assert json.loads(triton.message.read_text())["code"] == FailureCode.TASK_MISMATCH
    finally:
        stop(triton)


def run_together(triton: RunningTriton, requests: list[list[str]]) -> list[tuple[int, bytes]]:
    """Send requests at the same moment; status and body of each answer."""
    answers: dict[int, tuple[int, bytes]] = {}
    together = threading.Barrier(len(requests))

    def send(number: int) -> None:
        texts = requests[number]
        tensor = {"name": "text", "shape": [len(texts), 1], "datatype": "BYTES", "data": texts}
        with httpx.Client(timeout=60) as http:
            together.wait()
            answer = http.post(f"http://{triton.address}/v2/models/{MODEL}/infer", json={"inputs": [tensor]})
        answers[number] = answer.status_code, answer.content

    threads = [threading.Thread(target=send, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[number] for number in range(len(requests))]
