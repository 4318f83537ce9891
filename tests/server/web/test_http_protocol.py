"""Connections that say nothing, or too slowly, are closed."""

import socket

import pytest

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
