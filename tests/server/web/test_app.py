"""The routes as clients see them, judged by the official clients."""

import base64
import dataclasses
import json
import threading

import httpx
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient

from llmi_api.launch import Task
from llmi_api.readiness import ReadinessReport, Stage
from llmi_server.errors import EngineFailedError
from llmi_server.model.files import TextRecipe
from llmi_testing.engine import FakeEngine, fake_model
from llmi_testing.eventually import eventually
from llmi_testing.server import MODEL_NAME, running_server


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running


def openai_client(server, **options):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, **options)


def test_the_openai_client_gets_embeddings_in_order(server):
    answer = openai_client(server).embeddings.create(model=MODEL_NAME, input=["a", "b c", "d e f"])
    assert [entry.index for entry in answer.data] == [0, 1, 2]
    singles = [openai_client(server).embeddings.create(model=MODEL_NAME, input=text) for text in ("a", "b c", "d e f")]
    assert [entry.embedding for entry in answer.data] == [single.data[0].embedding for single in singles]
    assert answer.usage.prompt_tokens == 3 + 4 + 5


def test_base64_and_float_are_the_same_vector(server):
    body = {"model": MODEL_NAME, "input": "a b"}
    floats = server.http.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    packed = server.http.post("/v1/embeddings", json={**body, "encoding_format": "base64"}).json()
    assert np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4").tolist() == floats


def test_the_openai_client_lists_the_model(server):
    assert [model.id for model in openai_client(server).models.list()] == [MODEL_NAME]
    assert openai_client(server).models.retrieve(MODEL_NAME).id == MODEL_NAME
    with pytest.raises(openai.NotFoundError):
        openai_client(server).models.retrieve("other")


def test_the_openai_client_understands_our_errors(server):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client(server).embeddings.create(model=MODEL_NAME, input="x " * 99)
    assert caught.value.code == "context_length_exceeded"


def test_the_hugging_face_client_gets_every_task():
    with running_server(task=Task.FILL_MASK) as server:
        best = InferenceClient(server.url).fill_mask("a [MASK]", top_k=2)
        assert [element.token for element in best] == [99, 98]
    with running_server(task=Task.TEXT_CLASSIFICATION) as server:
        classes = InferenceClient(server.url).text_classification("a", top_k=2)
        assert [element.label for element in classes] == ["bad", "good"]
    with running_server(task=Task.TOKEN_CLASSIFICATION) as server:
        entities = InferenceClient(server.url).token_classification("a b", aggregation_strategy="simple")
        assert entities[0].entity_group == "neutral"
    with running_server() as server:
        assert InferenceClient(server.url).feature_extraction("a b", truncate=True).shape == (1, 4)


def test_both_clients_may_name_a_prompt_of_the_model():
    recipe = TextRecipe(prompts={"query": "q q "})
    model = dataclasses.replace(fake_model(), recipe=recipe)
    with running_server(model) as server:
        prompted = openai_client(server).embeddings.create(
            model=MODEL_NAME, input="a", extra_body={"prompt_name": "query"}
        )
        assert prompted.usage.prompt_tokens == 5
        vector = InferenceClient(server.url).feature_extraction("a", prompt_name="query")[0]
        assert vector.tolist() == prompted.data[0].embedding
        with pytest.raises(openai.BadRequestError, match="it has query"):
            openai_client(server).embeddings.create(model=MODEL_NAME, input="a", extra_body={"prompt_name": "other"})


def test_the_task_route_answers_under_the_models_name_too(server):
    at_root = server.http.post("/", json={"inputs": "a"}).json()
    assert server.http.post(f"/models/{MODEL_NAME}", json={"inputs": "a"}).json() == at_root
    assert server.http.post("/models/other", json={"inputs": "a"}).status_code == 404


def test_one_text_and_a_list_of_one_differ_as_the_pipeline_has_it():
    with running_server(task=Task.FILL_MASK) as server:
        one = server.http.post("/", json={"inputs": "a [MASK]"}).json()
        assert server.http.post("/", json={"inputs": ["a [MASK]"]}).json() == [one]


def test_a_sane_request_id_is_echoed_and_others_are_replaced(server):
    assert server.http.get("/v1/models", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("a" * 129, "a b", "caf\xe9".encode("latin-1"), ""):
        echoed = server.http.get("/v1/models", headers={"x-request-id": bad}).headers["x-request-id"]
        assert len(echoed) == 32
    assert server.http.post("/v1/embeddings", content=b"").headers["x-request-id"]


def test_the_api_description_names_every_route_and_body(server):
    paths = server.http.get("/openapi.json").json()["paths"]
    assert {"/", "/models/{name}", "/v1/embeddings", "/v1/models", "/livez", "/readyz", "/status", "/metrics"} <= set(
        paths
    )
    body = paths["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["required"]) == {"model", "input"}
    assert "$ref" not in json.dumps(body)


def test_status_says_what_runs(server):
    status = server.http.get("/status").json()
    assert status["stage"] == "ready"
    assert status["engine"] == "fake 1"
    assert status["max_input_tokens"] == 32
    assert "warm-up" in status["phase_seconds"]


def test_probes_answer_head(server):
    assert server.http.head("/livez").status_code == 200
    assert server.http.head("/readyz").status_code == 200


def test_ready_says_what_the_start_took_and_nothing_about_the_model(server):
    answer = server.http.get("/readyz")
    report = ReadinessReport.model_validate_json(answer.content)
    assert answer.status_code == 200
    assert (report.stage, report.device, report.precision) == (Stage.READY, "cpu", "float32")
    assert "warm-up" in report.phase_seconds
    assert report.measured_memory_bytes > 10_000_000
    assert MODEL_NAME not in answer.text


def test_ready_says_what_was_used_since_requests_are_taken(server):
    def read():
        return ReadinessReport.model_validate_json(server.http.get("/readyz").content).usage

    before = read()
    server.http.post("/v1/embeddings", json={"model": MODEL_NAME, "input": "x"}).raise_for_status()
    after = read()
    assert 0 < after.busy_seconds - before.busy_seconds < after.serving_seconds
    assert 0 < after.hour_busy_share < 1
    assert after.peak_memory_bytes > 10_000_000
    text = server.http.get("/metrics").text
    assert "llmi_memory_peak_bytes 0.0" not in text


def test_while_the_weights_are_read_ready_says_how_far_it_is():
    with running_server(load=False) as server:
        server.lifecycle.enter_phase("weights")
        server.lifecycle.predict(
            memory_bytes=5000, by_precision={"float32": 5000, "bfloat16": 2500}, weights={"float32": 4000}
        )
        server.lifecycle.expect(1000)
        server.lifecycle.read(300)
        answer = server.http.get("/readyz")
        report = ReadinessReport.model_validate_json(answer.content)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert (report.stage, report.phase) == (Stage.LOADING, "weights")
        assert (report.done_bytes, report.total_bytes, report.predicted_memory_bytes) == (300, 1000, 5000)
        assert report.predicted_by_precision == {"float32": 5000, "bfloat16": 2500}
        assert report.weights_by_precision == {"float32": 4000}
        assert report.bytes_per_second > 0
        assert report.usage is None


def test_the_memory_of_a_gpu_counts_where_there_is_one():
    engine = FakeEngine()
    engine.device_memory_bytes = lambda: 12345
    with running_server(fake_model(engine=engine)) as server:
        assert server.http.get("/readyz").json()["measured_memory_bytes"] == 12345


def test_before_the_model_is_ready_probes_and_requests_say_so():
    with running_server(load=False) as server:
        assert server.http.get("/livez").status_code == 200
        assert server.http.get("/readyz").status_code == 503
        answer = server.http.post("/v1/embeddings", json={"model": MODEL_NAME, "input": "x"})
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "model_loading"
        assert int(answer.headers["retry-after"]) >= 1
        assert server.http.get("/v1/models").status_code == 200
        server.load(fake_model())
        assert server.http.get("/readyz").status_code == 200


def test_a_full_queue_is_a_429_with_a_time_to_wait():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine), max_queued_requests=1) as server:
        engine.hold()
        with ThreadOf(post, server, "first") as first:
            engine.entered.acquire()
            with ThreadOf(post, server, "second") as second:
                wait_for(server, "llmi_requests_waiting", 1)
                refused = post(server, "third")
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) >= 1
                assert refused.json()["error"]["code"] == "queue_full"
                assert server.http.get("/livez").status_code == 200
                engine.gate.set()
        assert first.result.status_code == second.result.status_code == 200
        assert server.telemetry.registry.get_sample_value("llmi_rejected_total", {"reason": "queue_full"}) == 1


def test_a_deadline_is_a_504_and_frees_the_queue():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine), request_timeout_seconds=1) as server:
        engine.gate.clear()
        answer = post(server, "slow")
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "deadline_exceeded"
        engine.gate.set()
        assert post(server, "next").status_code == 200


def test_an_engine_error_is_a_500_without_internals_and_the_next_request_works():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine)) as server:
        engine.error = RuntimeError("secret detail at 0x7f00")
        answer = post(server, "x")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        engine.error = None
        assert post(server, "x").status_code == 200


def test_the_work_of_a_client_that_left_is_dropped():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine)) as server:
        engine.hold()
        with ThreadOf(post, server, "running") as running:
            engine.entered.acquire()
            limits = httpx.Timeout(60, read=0.3)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{server.url}/v1/embeddings", json={"model": MODEL_NAME, "input": "gone"}, timeout=limits)
            wait_for(server, "llmi_requests_waiting", 0)
            engine.gate.set()
        assert running.result.status_code == 200
        assert post(server, "after").status_code == 200
    assert "gone" not in [text.text for batch in engine.batches for text in batch]


def test_waiting_requests_are_computed_together_and_answered_apart():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine)) as server:
        expected = {text: vector(post(server, text)) for text in ("a", "b b", "c c c", "d")}
        engine.hold()
        with ThreadOf(post, server, "first"):
            engine.entered.acquire()
            workers = {text: ThreadOf(post, server, text) for text in expected}
            for worker in workers.values():
                worker.start()
            # A request waits from its admission on, and can be computed only once its text is in tokens.
            runner = server.lifecycle._service._runner
            eventually(lambda: len(runner._pending) == 1 + len(expected))
            engine.gate.set()
            for text, worker in workers.items():
                worker.join()
                assert vector(worker.result) == expected[text]
    assert len(engine.batches[-1]) == 4


def test_metrics_have_closed_label_sets(server):
    for path in ("/a", "/b/c", "/v1/models/zzz"):
        server.http.get(path)
    for method in ("BREW", "FOO"):
        server.http.request(method, "/v1/models")
    text = server.http.get("/metrics").text
    assert 'llmi_requests_total{code="404",operation="other"}' in text
    assert "zzz" not in text
    assert "BREW" not in text
    assert "llmi_model_ready 1.0" in text


def test_a_scraper_gets_the_format_that_it_asks_for(server):
    older = server.http.get("/metrics")
    assert older.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    newer = server.http.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    assert newer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert newer.text.endswith("# EOF\n")


def test_errors_of_ours_never_reach_the_client_raw():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine)) as server:
        engine.error = EngineFailedError("inner")
        assert post(server, "x").json()["error"]["message"] == "The engine failed on this request."


def post(server, text):
    return httpx.post(f"{server.url}/v1/embeddings", json={"model": MODEL_NAME, "input": text}, timeout=20)


def vector(response):
    return response.json()["data"][0]["embedding"]


def wait_for(server, metric, value):
    reached = threading.Event()
    while server.telemetry.registry.get_sample_value(metric) != value:
        reached.wait(0.005)


class ThreadOf(threading.Thread):
    """Runs a call beside the test and keeps its result."""

    def __init__(self, call, *arguments):
        super().__init__(daemon=True)
        self.call, self.arguments, self.result = call, arguments, None

    def run(self):
        self.result = self.call(*self.arguments)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.join()
