"""Connections that are slow, silent or many: each has its bound, and others are served meanwhile."""

import contextlib
import json
import resource
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmi_testing.engine import FakeEngine, fake_model
from llmi_testing.eventually import eventually
from llmi_testing.server import MODEL_NAME, running_server
from llmi_testing.wire import answers_in, connect

JSON = {"content-type": "application/json"}
PROTOCOL = "llmi_server.web.http_protocol"


def embed(text="x"):
    return json.dumps({"model": MODEL_NAME, "input": text}).encode()


def head(length, path="/v1/embeddings", method="POST"):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def until_closed(connection):
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while block := connection.recv(65_536):
            received += block
    return received


def read_answer(connection):
    """Read one answer: its head and its body may come apart."""
    received = b""
    while block := connection.recv(65_536):
        received += block
        if b"\r\n\r\n" in received:
            answer = next(answers_in(received))
            if len(answer.body) >= int(answer.headers["content-length"]):
                return answer
    raise AssertionError(received)


def open_connections(server):
    return len(server.server.server_state.connections)


@pytest.mark.parametrize("count", [1000, pytest.param(9500, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_silent_connections_are_closed_and_others_are_served_meanwhile(monkeypatch, count):
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * count + 200:
        pytest.skip(f"{most} files may be open, and {2 * count} are needed: both ends are in this process")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    monkeypatch.setattr(f"{PROTOCOL}.HEADER_SECONDS", count / 250)
    starts = (b"", b"GET /livez HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nX: ")
    with running_server(body_timeout_seconds=1) as server, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(server.port, seconds=60)) for _ in range(count)]
        for number, connection in enumerate(silent):
            connection.sendall(starts[number % 3])
        assert server.http.post("/v1/embeddings", content=embed(), headers=JSON).status_code == 200
        for connection in silent:
            assert until_closed(connection) == b""
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


def test_three_hundred_bodies_that_stop_are_told_so_and_others_are_served_meanwhile():
    with running_server(body_timeout_seconds=1) as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(server.port, seconds=60)) for _ in range(300)]
        for connection in slow:
            connection.sendall(head(100) + b'{"model":')
        assert server.http.post("/v1/embeddings", content=embed(), headers=JSON).status_code == 200
        for connection in slow:
            (answer,) = answers_in(until_closed(connection))
            assert answer.status == 408
            assert json.loads(answer.body)["error"]["code"] == "body_timeout"


def test_a_body_that_trickles_is_bounded_as_a_whole():
    with running_server(body_timeout_seconds=1) as server, connect(server.port, seconds=30) as connection:
        connection.sendall(head(1000))
        trickling = threading.Event()

        def trickle():
            with contextlib.suppress(OSError):
                while not trickling.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=trickle)
        thread.start()
        assert b" 408 " in connection.recv(4096)
        trickling.set()
        thread.join()


def test_the_rest_of_a_body_that_nobody_needs_must_come_soon(monkeypatch):
    monkeypatch.setattr(f"{PROTOCOL}.HEADER_SECONDS", 0.3)
    with running_server() as server, connect(server.port) as connection:
        connection.sendall(head(1000, path="/livez", method="GET") + b"x")
        (answer,) = answers_in(until_closed(connection))
        assert answer.status == 200


def test_a_connection_whose_unneeded_body_came_serves_the_next_request():
    with running_server() as server, connect(server.port) as connection:
        for _ in range(2):
            connection.sendall(head(5, path="/livez", method="GET"))
            assert read_answer(connection).status == 200
            connection.sendall(b"hello")


class Mute:
    """A client with a small window that asks for much and reads nothing."""

    def __init__(self, server, body):
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.connection.settimeout(30)
        self.connection.connect(("127.0.0.1", server.port))
        self.connection.sendall(head(len(body)) + body)


def test_a_client_that_reads_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr(f"{PROTOCOL}.READER_SECONDS", 0.3)
    with running_server() as server:
        server.http.get("/livez")
        kept = open_connections(server)
        mutes = [Mute(server, b"") for _ in range(3)]
        for mute in mutes:
            ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
            with contextlib.suppress(OSError):
                mute.connection.sendall(b"\r\n" + ask * 500)
        eventually(lambda: open_connections(server) == kept, "the mute ones are gone")
        for mute in mutes:
            mute.connection.close()
        assert server.http.get("/livez").status_code == 200


def test_a_client_that_reads_slowly_gets_everything(monkeypatch):
    monkeypatch.setattr(f"{PROTOCOL}.READER_SECONDS", 0.5)
    monkeypatch.setattr(f"{PROTOCOL}._READER_BYTES", 1)
    with running_server(max_inputs_per_request=256) as server:
        mute = Mute(server, embed(["word"] * 256))
        received, pause = b"", threading.Event()
        while b'"total_tokens"' not in received:
            received += mute.connection.recv(512)
            pause.wait(0.005)
        mute.connection.close()
        (answer,) = answers_in(received)
        assert len(json.loads(answer.body)["data"]) == 256


def test_beyond_the_most_connections_those_with_nothing_under_way_make_room(monkeypatch):
    monkeypatch.setattr(f"{PROTOCOL}.MOST_CONNECTIONS", 20)
    engine = FakeEngine()
    with running_server(fake_model(engine=engine)) as server, contextlib.ExitStack() as stack:
        engine.gate.clear()
        busy = stack.enter_context(connect(server.port, seconds=30))
        busy.sendall(head(len(embed())) + embed())
        eventually(lambda: server.server._gate.in_flight == 1, "one request is under way")
        for _ in range(60):
            stack.enter_context(connect(server.port))
            eventually(lambda: open_connections(server) <= 20, "some made room")
        assert server.http.get("/livez").status_code == 200
        engine.gate.set()
        assert b" 200 " in busy.recv(65_536)


def test_a_full_queue_is_told_before_the_body_comes():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine), max_queued_requests=1) as server, ThreadPoolExecutor(2) as threads:

        def post():
            return server.http.post("/v1/embeddings", content=embed(), headers=JSON)

        engine.hold()
        computing = threads.submit(post)
        engine.entered.acquire()
        waiting = threads.submit(post)
        runner = server.lifecycle._service._runner
        eventually(lambda: runner._scheduler.waiting_requests == 1, "the queue is full")
        with connect(server.port) as connection:
            connection.sendall(head(1000))
            refused = read_answer(connection)
        assert refused.status == 429
        assert json.loads(refused.body)["error"]["code"] == "queue_full"
        engine.gate.set()
        assert (computing.result().status_code, waiting.result().status_code) == (200, 200)


def test_bodies_that_are_too_many_bytes_together_are_refused_and_later_taken():
    engine = FakeEngine()
    large = embed("x" * 60_000)
    with running_server(fake_model(engine=engine), max_held_bytes=100_000) as server:

        def post(body):
            with connect(server.port, seconds=60) as connection:
                connection.sendall(head(len(body)) + body)
                return read_answer(connection)

        engine.gate.clear()
        with ThreadPoolExecutor(2) as threads:
            held = threads.submit(post, large)
            eventually(lambda: server.server._gate._bodies.total == len(large), "its bytes are held")
            refused = post(large)
            assert refused.status == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert json.loads(refused.body)["error"]["code"] == "queue_full"
            small = threads.submit(post, embed("small"))
            engine.gate.set()
            assert (held.result().status, small.result().status) == (200, 200)
        assert post(large).status == 200
        eventually(lambda: server.server._gate._bodies.total == 0, "nothing is held")


def test_tokens_that_are_too_many_together_are_refused():
    engine = FakeEngine()
    with running_server(fake_model(engine=engine), max_queued_tokens=20) as server, ThreadPoolExecutor(3) as threads:

        def post(text):
            return server.http.post("/v1/embeddings", content=embed(text), headers=JSON)

        engine.hold()
        computing = threads.submit(post, "a b c")
        engine.entered.acquire()
        waiting = threads.submit(post, "x " * 18)
        # A request is counted when it has its place, and its tokens once it has been tokenised.
        scheduler = server.lifecycle._service._runner._scheduler
        eventually(lambda: scheduler._waiting_tokens > 0, "its tokens wait")
        refused = post("y " * 18)
        assert refused.status_code == 429
        assert "20 tokens" in refused.json()["error"]["message"]
        engine.gate.set()
        assert (computing.result().status_code, waiting.result().status_code) == (200, 200)
        assert post("y " * 18).status_code == 200
