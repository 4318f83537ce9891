"""Connections that say nothing, or too slowly, are closed."""

import http.client
import json
import socket

import pytest

from llmi_testing.engine import FakeEngine, fake_model
from llmi_testing.server import MODEL_NAME, running_server


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("llmi_server.web.http_protocol.HEADER_SECONDS", 0.3)
    with running_server(body_timeout_seconds=1) as running:
        yield running


def connect(server):
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(10)
    return connection


@pytest.mark.parametrize("start", [b"", b"G", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_that_do_not_arrive_close_the_connection(server, start):
    with connect(server) as connection:
        connection.sendall(start)
        assert connection.recv(100) == b""


def test_a_body_that_does_not_arrive_is_a_408(server):
    head = "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head.encode() + b'{"model":')
        assert b" 408 " in connection.recv(4096)


def test_a_kept_connection_may_rest_between_requests(server):
    body = {"model": MODEL_NAME, "input": "x"}
    assert server.http.post("/v1/embeddings", json=body).status_code == 200
    with connect(server) as connection:
        for _ in range(2):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                answer += connection.recv(4096)
            connection.settimeout(0.6)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(10)


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "not an HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "Transfer-Encoding"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, 431, "64 KiB"),
    ],
)
def test_broken_http_is_answered_in_the_one_error_shape(server, sent, status, says):
    with connect(server) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        error = json.loads(answer.read())["error"]
    assert answer.status == status
    assert says in error["message"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "broken_http")
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["connection"] == "close"


def test_a_request_that_offers_another_protocol_is_not_cut_off_while_it_is_computed(monkeypatch):
    monkeypatch.setattr("llmi_server.web.http_protocol.HEADER_SECONDS", 0.2)
    engine = FakeEngine()
    body = json.dumps({"model": MODEL_NAME, "input": "x"}).encode()
    lines = ["POST /v1/embeddings HTTP/1.1", "Host: x", "Connection: upgrade", "Upgrade: h2c",
             "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]  # fmt: skip
    with running_server(fake_model(engine=engine)) as running, connect(running) as connection:
        engine.gate.clear()
        connection.sendall("\r\n".join(lines).encode() + body)
        connection.settimeout(0.6)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        engine.gate.set()
        connection.settimeout(10)
        assert b" 200 " in connection.recv(4096)


def test_a_broken_body_of_a_head_request_is_answered_without_one(server, caplog):
    with connect(server) as connection:
        connection.sendall(b"HEAD /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        answer = b""
        while block := connection.recv(4096):
            answer += block
    assert answer.startswith(b"HTTP/1.1 ")
    assert answer.endswith(b"\r\n\r\n")
    assert "Traceback" not in caplog.text


def test_a_body_that_breaks_off_into_nonsense_ends_the_request_with_an_answer(server, caplog):
    head = "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with connect(server) as connection:
        connection.sendall(head.encode() + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"mod\r\nzz\r\n')
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        assert json.loads(answer.read())["error"]["code"] == "broken_http"
    assert server.http.get("/livez").status_code == 200
    assert "Traceback" not in caplog.text
