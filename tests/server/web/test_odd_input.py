"""The rest of the catalogue of bad HTTP input: large, many, odd; each is a 4xx or harmless."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from llmi_server.web.app import make_routes
from llmi_testing.engine import FakeCodec, fake_model
from llmi_testing.eventually import eventually
from llmi_testing.server import MODEL_NAME, running_server
from llmi_testing.verdict import fault_of
from llmi_testing.wire import answers_in, connect

JSON = {"content-type": "application/json"}
START = b'{"model": "test-model", "input": '


@pytest.fixture(scope="module")
def server():
    with running_server(body_timeout_seconds=1) as running:
        yield running


def post(server, content, **headers):
    return server.http.post("/v1/embeddings", content=content, headers=JSON | headers)


def exchange(server, *parts, seconds=20):
    with connect(server.port, seconds=seconds) as connection:
        received = b""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        with contextlib.suppress(ConnectionError):
            while block := connection.recv(65_536):
                received += block
        return list(answers_in(received))


HUGE = {
    "a million numbers": (START + b"[" + b"1," * 900_000 + b"1]}", "50000 values"),
    "a million empty objects": (START + b"[" + b"{}," * 600_000 + b"{}]}", "50000 values"),
    "a million tiny inputs": (START + b"[" + b'"",' * 600_000 + b'""]}', "50000 values"),
    "a million keys": (b"{" + b",".join(b'"%d":1' % n for n in range(180_000)) + b"}", "50000 values"),
    "forty thousand wrong values": (START + b"[" + b"1," * 40_000 + b"1]}", "faults"),
    "a million brackets": (START + b"[" * 900_000 + b"]" * 900_000 + b"}", "nested too deeply"),
    "a number of a million digits": (START + b"9" * 1_000_000 + b"}", "number that is too long"),
}


@pytest.mark.parametrize(("content", "says"), HUGE.values(), ids=HUGE.keys())
def test_a_body_with_too_much_in_it_is_a_400(server, content, says):
    answer = post(server, content)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def test_a_string_of_many_escapes_is_just_text(server):
    assert post(server, START + b'"' + b"\\u0041" * 300_000 + b'"}').status_code == 200


def test_fifty_megabytes_are_refused_before_they_are_read(server):
    lines = ("Content-Type: application/json", "Content-Length: 50000000")
    answers = exchange(server, head(*lines, method="POST", path="/v1/embeddings"))
    assert [answer.status for answer in answers] == [413]


def head(*lines, method="GET", path="/v1/models"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]).encode("latin-1")


CHUNKED = head("Content-Type: application/json", "Transfer-Encoding: chunked", method="POST", path="/v1/embeddings")
RAW = {
    "a header of 20 MB": (head("X-A: " + "a" * 20_000_000), {431}),
    "a folded header": (head("X-A: a", " b"), {200, 400}),
    "a bare CR in a header": (head("X-A: a\rb"), {400}),
    "a host of 10 kB": (head().replace(b"Host: x", b"Host: " + b"x" * 10_000), {200}),
    "CONNECT": (head(method="CONNECT", path="other:443"), {404, 405}),
    "another host in the path": (head(path="http://other/v1/models"), {404}),
    "a path that is encoded twice": (head(path="/%252e%252e/x"), {404}),
    "a query of 1 MB": (head(path="/v1/models?q=" + "a" * 1_000_000), {431}),
    "ten thousand ranges": (head("Range: bytes=" + "0-," * 10_000), {200}),
    "a nonsense expectation": (head("Expect: nonsense"), {200}),
    "an upgrade to HTTP/2": (head("Connection: upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), {200}),
    "no final chunk": (CHUNKED + b"5\r\nhello\r\n", {408}),
    "a huge chunk extension": (CHUNKED + b"5;e=" + b"e" * 100_000 + b"\r\nhello\r\n0\r\n\r\n", {400, 431}),
    "huge trailers": (CHUNKED + b"0\r\n" + b"T: x\r\n" * 20_000 + b"\r\n", {400, 431}),
    "a body that was promised and not sent": (
        head("Content-Type: application/json", "Content-Length: 9", "Expect: 100-continue", method="POST", path="/"),
        {408},
    ),
    "a deadline that means nothing": (head("X-Request-Timeout: -1", "Timeout: 0"), {200}),
    "forged proxies": (head("X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: other", "Forwarded: for=x"), {200}),
}


@pytest.mark.parametrize(("message", "statuses"), RAW.values(), ids=RAW.keys())
def test_odd_bytes_are_answered_or_the_connection_is_closed(server, message, statuses):
    answers = [answer for answer in exchange(server, message) if answer.status != 100]
    assert {answer.status for answer in answers} <= statuses
    assert all(fault_of(one.status, one.headers, one.body, path="") is None for one in answers)
    assert server.http.get("/livez").status_code == 200


def test_a_hundred_thousand_chunks_of_a_byte_are_one_body(server):
    body = json.dumps({"model": MODEL_NAME, "input": "x" * 100_000}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with running_server(body_timeout_seconds=60) as patient:
        (answer,) = exchange(patient, CHUNKED + chunks + b"0\r\n\r\n", seconds=60)
    assert answer.status == 200


def test_a_thousand_pipelined_requests_are_answered_in_order(server):
    with connect(server.port, seconds=60) as connection:
        sending = threading.Thread(
            target=connection.sendall, args=(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 999 + head(path="/livez"),)
        )
        sending.start()
        received = b""
        while block := connection.recv(65_536):
            received += block
        sending.join()
    assert received.count(b"HTTP/1.1 200") == 1000


def test_head_and_options_on_every_route_find_no_fault(server):
    routes = make_routes(lifecycle=server.lifecycle, telemetry=server.telemetry, settings=server.settings).openapi()
    for path in [*routes["paths"], "/openapi.json"]:
        for method in ("HEAD", "OPTIONS"):
            answer = server.http.request(method, path.replace("{name}", MODEL_NAME).replace("{number}", "1"))
            assert answer.status_code in (200, 404, 405), (method, path)
            assert fault_of(answer.status_code, answer.headers, answer.content, path=path, method=method) is None


def test_a_client_that_closes_its_side_has_left(server):
    with connect(server.port) as connection:
        connection.sendall(head("Content-Type: application/json", "Content-Length: 99", method="POST", path="/") + b"{")
        connection.shutdown(1)
        received = b""
        while block := connection.recv(4096):
            received += block
    assert b" 200 " not in received


class _Slow(FakeCodec):
    def __init__(self):
        self.entered, self.gate = threading.Event(), threading.Event()

    def encode(self, texts):
        if "slow" in texts[0]:
            self.entered.set()
            self.gate.wait()
        return super().encode(texts)


def test_a_tokenizer_that_takes_long_holds_up_nothing_else():
    codec = _Slow()
    codec.gate.set()
    with running_server(replace(fake_model(), codec=codec)) as slow, ThreadPoolExecutor(1) as threads:
        codec.gate.clear()
        waiting = threads.submit(post, slow, json.dumps({"model": MODEL_NAME, "input": "slow"}))
        assert codec.entered.wait(20)
        assert slow.http.get("/livez").status_code == 200
        assert post(slow, json.dumps({"model": MODEL_NAME, "input": "quick"})).status_code == 200
        codec.gate.set()
        assert waiting.result().status_code == 200
        eventually(lambda: slow.server._gate.in_flight == 0, "nothing is left")
