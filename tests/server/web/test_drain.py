"""SIGTERM to a server process: what was accepted is answered, what is new goes elsewhere, and the process ends."""

import json
import time
from pathlib import Path

import httpx
import pytest

from llmi_api.launch import Task
from llmi_testing.eventually import eventually
from llmi_testing.models import small_causal_model
from llmi_testing.served import served
from llmi_testing.server import MODEL_NAME

pytestmark = pytest.mark.timeout(600)  # starting a server imports PyTorch
CHAT = "/v1/chat/completions"
END_SECONDS = 120
"""Far more than is promised; the promise is measured by bench/overload.py on a quiet machine."""


def ask(tokens, *, stream=True):
    message = {"role": "user", "content": "hello"}
    return {"model": MODEL_NAME, "messages": [message], "max_tokens": tokens, "stream": stream, "temperature": 0}


def events(answer):
    for line in answer.iter_lines():
        if line:
            yield line.removeprefix("data: ")


def test_streams_are_finished_new_work_is_refused_and_the_process_ends_well():
    with served(small_causal_model(), Task.TEXT_GENERATION, drain_seconds=60, request_timeout_seconds=120) as server:
        engines = server.children()
        with server.http.stream("POST", CHAT, json=ask(300)) as first, httpx.Client(base_url=server.url) as other:
            stream = events(first)
            next(stream)
            began = time.monotonic()
            server.terminate()
            eventually(lambda: other.get("/readyz").status_code == 503, "it is not ready any more")
            print(f"\nnot ready {time.monotonic() - began:.3f} s after SIGTERM")
            refused = other.post(CHAT, json=ask(3))
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"]["code"] == "shutting_down"
            assert other.get("/livez").status_code == 200
            assert list(stream)[-1] == "[DONE]"
        assert server.process.wait(END_SECONDS) == 0
        eventually(lambda: not any(map(runs, engines)), "its engine has ended too")


def test_a_stream_that_cannot_finish_ends_with_an_error_event_and_the_process_ends():
    settings = {"drain_seconds": 0, "request_timeout_seconds": 120}
    with served(small_causal_model(), Task.TEXT_GENERATION, **settings) as server:
        with server.http.stream("POST", CHAT, json=ask(450)) as answer:
            stream = events(answer)
            next(stream)
            server.terminate()
            assert json.loads(list(stream)[-1])["error"]["code"] == "shutting_down"
        assert server.process.wait(END_SECONDS) == 0


def runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
