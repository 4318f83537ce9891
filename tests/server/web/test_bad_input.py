"""The catalogue of bad HTTP input: a client's mistake is a 4xx in OpenAI's shape, never a 500, never silence."""

import gzip
import json
import socket

import pytest

from llmi_api.launch import Task
from llmi_testing.server import running_server

JSON = {"content-type": "application/json"}
LIMIT = 100_000


@pytest.fixture(scope="module")
def server():
    with running_server(max_body_bytes=LIMIT, max_inputs_per_request=8, max_request_tokens=100) as running:
        yield running


@pytest.fixture(scope="module")
def filler():
    with running_server(task=Task.FILL_MASK) as running:
        yield running


def embed(text, **extra):
    return json.dumps({"model": "test-model", "input": text, **extra}).encode()


def assert_refused(response, status):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    assert len(response.content) < 1500
    return error


BODIES = {
    "empty body": b"",
    "blank body": b" \n ",
    "null": b"null",
    "list": b"[]",
    "string": b'"x"',
    "number": b"1",
    "truncated": embed("x")[:-3],
    "trailing comma": b'{"model": "test-model", "input": "x",}',
    "garbage after": embed("x") + b"garbage",
    "two documents": embed("x") + embed("x"),
    "duplicate keys": b'{"model": "test-model", "input": "x", "input": "y"}',
    "duplicate keys deep down": b'{"model": "test-model", "input": [{"a": 1, "a": 2}]}',
    "unknown field": embed("x", nonsense=1),
    "missing field": b'{"model": "test-model"}',
    "missing model": b'{"input": "x"}',
    "byte order mark": b"\xef\xbb\xbf" + embed("x"),
    "utf-16": embed("x").decode().encode("utf-16"),
    "invalid utf-8": b'{"model": "test-model", "input": "\xff\xfe"}',
    "overlong utf-8": b'{"model": "test-model", "input": "\xc0\xaf"}',
    "encoded surrogate": b'{"model": "test-model", "input": "\xed\xa0\x80"}',
    "lone surrogate": b'{"model": "test-model", "input": "\\ud800"}',
    "lone surrogate as key": b'{"model": "test-model", "input": "x", "\\udfff": 1}',
    "NaN": b'{"model": "test-model", "input": "x", "truncate": NaN}',
    "Infinity": b'{"model": "test-model", "input": "x", "truncate": Infinity}',
    "-Infinity": b'{"model": "test-model", "input": "x", "truncate": -Infinity}',
    "1e400": b'{"model": "test-model", "input": "x", "truncate": 1e400}',
    "5000 digits": b'{"model": "test-model", "input": "x", "truncate": ' + b"9" * 5000 + b"}",
    "90000 digits": b'{"model": "test-model", "input": "x", "truncate": ' + b"9" * 90_000 + b"}",
    "deep nesting": b'{"model": "test-model", "input": ' + b"[" * 49_000 + b"]" * 49_000 + b"}",
    "deep objects": b'{"a":' * 15_000 + b"1" + b"}" * 15_000,
    "many keys": json.dumps({f"k{i}": 1 for i in range(8000)}).encode(),
    "number for text": embed(5),
    "true for text": b'{"model": "test-model", "input": true}',
    "null for text": embed(None),
    "object for text": embed({"a": 1}),
    "token ids": embed([1, 2, 3]),
    "lists of token ids": embed([[1, 2], [3]]),
    "nested lists": embed([["x"]]),
    "mixed batch": embed(["x", 1]),
    "no input at all": embed([]),
    "empty text": embed(""),
    "blank text": embed("  \t "),
    "an empty text among others": embed(["x", ""]),
    "too many inputs": embed(["x"] * 9),
    "too many tokens in all": embed(["x " * 20] * 5),
    "too long": embed("x " * 31),
    "unknown encoding": embed("x", encoding_format="hex"),
    "dimensions": embed("x", dimensions=2),
    "string for bool": embed("x", truncate="yes"),
    "number for bool": embed("x", truncate=1),
    "user of wrong type": embed("x", user=5),
    "stream": embed("x", stream=True),
    "image url": embed([{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]),
    "model of wrong type": b'{"model": 5, "input": "x"}',
    "empty model": b'{"model": "", "input": "x"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_malformed_body_is_a_400(server, body):
    assert_refused(server.http.post("/v1/embeddings", content=body, headers=JSON), 400)


PARAMETERS = {
    "bool for top_k": {"top_k": True},
    "float for top_k": {"top_k": 5.0},
    "text for top_k": {"top_k": "5"},
    "text NaN for top_k": {"top_k": "NaN"},
    "zero top_k": {"top_k": 0},
    "negative top_k": {"top_k": -1},
    "huge top_k": {"top_k": 2**31},
    "top_k beyond 64 bits": {"top_k": 2**64},
    "unknown parameter": {"temperature": 1},
    "number for targets": {"targets": 5},
    "blank targets": {"targets": [" "]},
    "no targets": {"targets": []},
    "too many targets": {"targets": ["x"] * 1001},
    "parameters not an object": [1],
    "null parameters": None,
    "unknown direction": {"truncation_direction": "up"},
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_a_malformed_parameter_is_a_400(filler, parameters):
    error = assert_refused(filler.http.post("/", json={"inputs": "a [MASK]", "parameters": parameters}), 400)
    assert error["param"].startswith("parameters")


def test_a_text_without_mask_is_told_the_models_mask_token(filler):
    error = assert_refused(filler.http.post("/", json={"inputs": "no mask"}), 400)
    assert "[MASK]" in error["message"]


def test_a_too_long_input_is_told_the_numbers_and_which_it_was(server):
    error = assert_refused(server.http.post("/v1/embeddings", content=embed(["x", "x " * 31]), headers=JSON), 400)
    assert "33 tokens" in error["message"]
    assert "limit is 32" in error["message"]
    assert "Input 1" in error["message"]
    assert error["code"] == "context_length_exceeded"


def test_an_input_exactly_at_the_limit_is_answered(server):
    assert server.http.post("/v1/embeddings", content=embed("x " * 30), headers=JSON).status_code == 200


def test_truncate_cuts_rather_than_refuses(server):
    answer = server.http.post("/v1/embeddings", content=embed("x " * 40, truncate=True), headers=JSON)
    assert answer.json()["usage"]["prompt_tokens"] == 32


GOOD_TEXTS = {
    "control characters among words": "a\u0000b \u0007 c",
    "right to left override": "\u202eabc",
    "combining marks": "a" + "\u0301" * 5000,
    "one long word": "x" * 90_000,
    "emoji": "\U0001f600" * 5000,
    "special tokens as text": "[MASK] <|endoftext|> </s>",
}


@pytest.mark.parametrize("text", GOOD_TEXTS.values(), ids=GOOD_TEXTS.keys())
def test_unusual_text_is_just_text(server, text):
    assert server.http.post("/v1/embeddings", content=embed(text), headers=JSON).status_code == 200


MEDIA = {
    "no content type": {},
    "plain text": {"content-type": "text/plain"},
    "form": {"content-type": "application/x-www-form-urlencoded"},
    "multipart": {"content-type": "multipart/form-data; boundary=x"},
    "utf-16 charset": {"content-type": "application/json; charset=utf-16"},
    "gzip": {**JSON, "content-encoding": "gzip"},
    "identity and gzip": {**JSON, "content-encoding": "identity, gzip"},
}


@pytest.mark.parametrize("headers", MEDIA.values(), ids=MEDIA.keys())
def test_anything_but_plain_json_is_a_415(server, headers):
    assert_refused(server.http.post("/v1/embeddings", content=embed("x"), headers=headers), 415)


def test_a_compressed_bomb_is_never_unpacked(server):
    bomb = gzip.compress(b" " * 10_000_000)
    assert_refused(server.http.post("/v1/embeddings", content=bomb, headers={**JSON, "content-encoding": "gzip"}), 415)


def test_a_declared_large_body_is_a_413_before_it_is_read(server):
    with raw(server) as connection:
        connection.sendall(head(f"Content-Length: {LIMIT + 1}\r\n"))
        assert b" 413 " in connection.recv(4096)


def test_a_chunked_large_body_is_a_413(server):
    chunks = (b"x" * 50_000 for _ in range(50))
    assert_refused(server.http.post("/v1/embeddings", content=chunks, headers=JSON), 413)


def test_a_chunked_body_within_the_limit_is_answered(server):
    body = embed("hello")
    chunks = (body[i : i + 1] for i in range(len(body)))
    assert server.http.post("/v1/embeddings", content=chunks, headers=JSON).status_code == 200


@pytest.mark.parametrize("name", ["other", "test-model/../x", "TEST-MODEL", "x" * 50_000, "test-model "])
def test_an_unknown_model_is_a_404(server, name):
    body = json.dumps({"model": name, "input": "x"}).encode()
    error = assert_refused(server.http.post("/v1/embeddings", content=body, headers=JSON), 404)
    assert error["code"] == "model_not_found"


def test_another_task_is_a_400_that_says_which_the_model_does(filler):
    error = assert_refused(filler.http.post("/v1/embeddings", content=embed("x"), headers=JSON), 400)
    assert "fill-mask" in error["message"]


PATHS = [
    "/nothing",
    "/v1",
    "/v1/",
    "/v1/embeddings/",
    "//v1/models",
    "/v1/%2e%2e/x",
    "/%00",
    "/docs",
    "/redoc",
    "/debug",
]


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_route_is_a_404(server, path):
    assert_refused(server.http.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/embeddings"), ("PUT", "/v1/embeddings"), ("DELETE", "/v1/models"), ("GET", "/"), ("POST", "/readyz"),
     ("TRACE", "/"), ("FOO", "/v1/models"), ("OPTIONS", "/v1/embeddings"), ("HEAD", "/v1/embeddings")],
)  # fmt: skip
def test_a_wrong_method_is_a_405_that_names_the_right_ones(server, method, path):
    response = server.http.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"]


def head(extra, path="/v1/embeddings", method="POST"):
    start = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return (start + extra + "\r\n").encode("latin-1")


def raw(server):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.settimeout(10)
    return connection


def in_one_chunk(body):
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


PROTOCOL = {
    "two different lengths": head("Content-Length: 5\r\nContent-Length: 6\r\n"),
    "negative length": head("Content-Length: -5\r\n"),
    "signed length": head("Content-Length: +5\r\n"),
    "text as length": head("Content-Length: five\r\n"),
    "length and chunked": head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + in_one_chunk(embed("x")),
    "unknown transfer encoding": head("Transfer-Encoding: identity, chunked, xchunked\r\n"),
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "NUL in a header": head("X-A: a\x00b\r\n"),
    "folded start": b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "http 0.9": b"GET /\r\n\r\n",
    "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200 + b"\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "header of 70 kB": head("X-A: " + "a" * 70_000 + "\r\n"),
    "ten thousand headers": head("X-A: a\r\n" * 10_000),
    "path of 200 kB": head("", path="/" + "a" * 200_000, method="GET"),
    "huge method": b"A" * 100_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad chunk size": head("Transfer-Encoding: chunked\r\n") + b"zz\r\n",
    "chunk size overflow": head("Transfer-Encoding: chunked\r\n") + b"F" * 30 + b"\r\n",
}


@pytest.mark.parametrize("message", PROTOCOL.values(), ids=PROTOCOL.keys())
def test_a_broken_request_is_a_4xx_or_a_closed_connection(server, message):
    with raw(server) as connection:
        try:
            connection.sendall(message)
            answer = connection.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert server.http.get("/livez").status_code == 200


def test_an_incomplete_body_is_no_success(server):
    with raw(server) as connection:
        connection.sendall(head("Content-Length: 500\r\n") + embed("x"))
        connection.shutdown(socket.SHUT_WR)
        assert b" 200 " not in connection.recv(4096)


def test_http_1_0_works(server):
    body = embed("x")
    start = f"POST /v1/embeddings HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with raw(server) as connection:
        connection.sendall(start.encode() + body)
        assert b" 200 " in connection.recv(65_536)


def test_a_websocket_upgrade_is_not_taken(server):
    upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
    with raw(server) as connection:
        connection.sendall(head(upgrade, path="/v1/models", method="GET"))
        assert b" 101 " not in connection.recv(4096)


def test_a_foreign_origin_is_given_no_allowance(server):
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    response = server.http.options("/v1/embeddings", headers=headers)
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_get_with_a_body_is_answered(server):
    assert server.http.request("GET", "/v1/models", content=b"x" * 10).status_code == 200


def test_pipelined_requests_are_answered_in_order(server):
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with raw(server) as connection:
        connection.sendall(request * 99 + last)
        received = b""
        while block := connection.recv(65_536):
            received += block
    assert received.count(b"HTTP/1.1 200") == 100
