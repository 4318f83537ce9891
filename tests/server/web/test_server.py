"""Draining: what was accepted is answered, what is new is told to go elsewhere."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from llmi_testing.engine import FakeEngine, fake_model
from llmi_testing.server import MODEL_NAME, running_server

JSON = {"content-type": "application/json"}


def post(server, text):
    return httpx.post(f"{server.url}/v1/embeddings", json={"model": MODEL_NAME, "input": text}, timeout=20)


class Post(threading.Thread):
    def __init__(self, server, text):
        super().__init__(daemon=True)
        self.server, self.text, self.response = server, text, None
        self.start()

    def run(self):
        self.response = post(self.server, self.text)


def wait_until(condition):
    pause = threading.Event()
    while not condition():
        pause.wait(0.005)


def test_a_signal_closes_for_new_requests_and_answers_the_accepted_ones():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine)) as server:
        engine.hold()
        accepted = [Post(server, f"text {number}") for number in range(10)]
        engine.entered.acquire()
        wait_until(lambda: server.server._gate.in_flight == 10)
        server.send_signal()
        wait_until(lambda: server.http.get("/readyz").status_code == 503)
        refused = post(server, "late")
        assert refused.status_code == 503
        assert refused.headers["connection"] == "close"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "shutting_down"
        assert server.http.get("/v1/models").status_code == 503
        assert {server.http.get(path).status_code for path in ("/livez", "/metrics", "/status")} == {200}
        engine.gate.set()
        for thread in accepted:
            thread.join()
            assert thread.response.status_code == 200
        server.thread.join(60)
        assert not server.thread.is_alive()


def test_a_request_that_began_before_the_signal_is_answered_though_its_body_comes_after():
    signalled = threading.Event()

    def body():
        yield f'{{"model": "{MODEL_NAME}", '.encode()
        signalled.wait(60)
        yield b'"input": "late"}'

    with running_server(fake_model()) as server, ThreadPoolExecutor() as threads:
        late = threads.submit(httpx.post, f"{server.url}/v1/embeddings", content=body(), headers=JSON, timeout=60)
        wait_until(lambda: server.server._gate.in_flight == 1)
        server.send_signal()
        wait_until(lambda: server.http.get("/readyz").status_code == 503)
        signalled.set()
        assert late.result().status_code == 200


def test_what_is_not_answered_within_the_drain_time_is_told():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine), drain_seconds=1) as server:
        engine.hold()
        stuck = Post(server, "stuck")
        engine.entered.acquire()
        server.send_signal()
        stuck.join()
        assert stuck.response.status_code == 503
        assert stuck.response.json()["error"]["code"] == "shutting_down"
        server.thread.join(60)
        assert not server.thread.is_alive()
        engine.gate.set()


def test_a_signal_while_loading_ends_at_once():
    with running_server(load=False) as server:
        server.send_signal()
        server.thread.join(60)
        assert not server.thread.is_alive()
