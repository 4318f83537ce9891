"""The engine's process: what happens when clients leave, when it dies, when the server drains."""

import contextlib
import json
import os
import signal
import threading
import time

import httpx
import pytest

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_testing.generation import Deaths, engine_process, generating_server, held_engine
from llmi_testing.models import small_causal_model
from llmi_testing.server import MODEL_NAME

pytestmark = pytest.mark.timeout(400)  # a second process imports PyTorch
LONG = {"model": MODEL_NAME, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 450, "stream": True,
        "temperature": 1, "seed": 1}  # fmt: skip
ENDLESS = {"max_tokens": 7000, "temperature": 0}
"""What is not answered before a test does what it came for: 450 tokens take a fast machine a few tenths of a second."""


@pytest.fixture(scope="module")
def server():
    with generating_server(max_queued_requests=4, max_sequences=2, request_timeout_seconds=60) as running:
        yield running


def events(answer):
    for line in answer.iter_lines():
        if line:
            yield line.removeprefix("data: ")


def open_stream(server, **fields):
    return server.http.stream("POST", "/v1/chat/completions", json=LONG | fields)


def endless_model():
    """A model that never ends an answer by itself, if the likeliest token is chosen."""
    return small_causal_model(max_position_embeddings=8192, seed=1)


def sample(server, name, labels=None):
    return server.telemetry.registry.get_sample_value(name, labels or {})


def wait_until(condition, seconds=60):
    end, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end
        pause.wait(0.01)


def idle(server):
    return sample(server, "llmi_requests_running") == sample(server, "llmi_requests_waiting") == 0


def test_a_client_that_leaves_frees_its_row_and_stops_the_computing(server):
    with open_stream(server) as answer:
        next(events(answer))
    wait_until(lambda: idle(server))
    body = LONG | {"max_tokens": 3, "stream": False}
    assert server.http.post("/v1/chat/completions", json=body).status_code == 200
    generated = sample(server, "llmi_tokens_total", {"type": "generated"})
    threading.Event().wait(0.3)
    assert sample(server, "llmi_tokens_total", {"type": "generated"}) == generated


def test_a_hundred_clients_that_leave_at_any_moment_leak_nothing(server):
    for number in range(100):
        with contextlib.suppress(httpx.TimeoutException):
            httpx.post(f"{server.url}/v1/chat/completions", json=LONG, timeout=0.005 + number / 2000)
    wait_until(lambda: idle(server))
    service = server.lifecycle.loaded_service
    assert (service._engine.jobs, service._room.requests) == (0, 0)
    assert server.http.post("/v1/chat/completions", json=LONG | {"max_tokens": 2, "stream": False}).is_success


def test_beyond_the_queue_requests_are_refused_at_once_with_a_time_to_wait(server):
    results = []

    def ask():
        with httpx.Client(base_url=server.url, timeout=60) as http:
            answer = http.post("/v1/chat/completions", json=LONG | {"max_tokens": 5, "stream": False})
            results.append((answer.status_code, answer.headers.get("retry-after")))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    with held_engine(server):
        for thread in threads:
            thread.start()
        wait_until(lambda: len(results) == 12)
        refused = list(results)
    for thread in threads:
        thread.join()
    assert all(status == 429 and int(after) > 0 for status, after in refused)
    assert [status for status, _ in results[12:]] == [200] * 4


def test_an_engine_that_dies_fails_what_was_accepted_and_makes_the_server_not_alive():
    deaths = Deaths()
    with generating_server(endless_model(), deaths=deaths) as server:
        with open_stream(server, **ENDLESS) as answer:
            stream = events(answer)
            next(stream)
            os.kill(engine_process(server), signal.SIGKILL)
            last = list(stream)[-1]
        assert json.loads(last)["error"]["code"] == "engine_failed"
        wait_until(lambda: deaths)
        assert deaths[0].failure.code is FailureCode.OUT_OF_MEMORY
        assert server.http.get("/livez").status_code == 500
        refused = server.http.post("/v1/chat/completions", json=LONG | {"stream": False})
        assert refused.status_code == 500
        # A request is counted once its answer is out.
        wait_until(lambda: sample(server, "llmi_requests_total", {"operation": "chat", "code": "500"}) == 2)


def test_a_signal_lets_streams_finish_and_refuses_new_ones():
    with generating_server(drain_seconds=60) as server, open_stream(server, max_tokens=100) as answer:
        stream = events(answer)
        next(stream)
        with held_engine(server):
            server.send_signal()
            wait_until(lambda: server.lifecycle.stage == "draining")
            refused = httpx.post(f"{server.url}/v1/chat/completions", json=LONG)
        assert refused.status_code == 503
        assert list(stream)[-1] == "[DONE]"


def test_a_stream_that_cannot_finish_in_time_ends_with_an_error_event():
    with generating_server(endless_model(), drain_seconds=0) as server, open_stream(server, **ENDLESS) as answer:
        stream = events(answer)
        next(stream)
        with held_engine(server):
            server.send_signal()
            assert json.loads(list(stream)[-1])["error"]["code"] == "shutting_down"


def test_a_deadline_in_the_middle_of_a_stream_is_told_and_frees_the_row():
    with generating_server(endless_model(), request_timeout_seconds=1, max_sequences=1) as server:
        with open_stream(server, **ENDLESS) as answer:
            stream = events(answer)
            next(stream)
            with held_engine(server):
                assert json.loads(list(stream)[-1])["error"]["code"] == "deadline_exceeded"
        wait_until(lambda: idle(server))


def test_a_model_that_cannot_be_loaded_is_told_with_its_reason(tmp_path):
    with pytest.raises(StartupError) as caught, generating_server(tmp_path):
        pass
    assert caught.value.failure.code is FailureCode.MODEL_NOT_FOUND
