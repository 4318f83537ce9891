"""Bytes for a socket: HTTP requests whose framing, headers, chunks or body were damaged. All follows from a number."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from llmi_testing.server import MODEL_NAME

_PATHS = ("/v1/embeddings", "/", "/v1/chat/completions", "/v1/rerank", "/livez", "/readyz", "/metrics", "/status",
          "/openapi.json", "/v1/models", f"/v2/models/{MODEL_NAME}/infer", f"/models/{MODEL_NAME}", "/nothing")  # fmt: skip
_METHODS = ("POST", "POST", "POST", "GET", "HEAD", "PUT", "OPTIONS", "FOO", "CONNECT", "TRACE", "post", "P" * 200)
_VERSIONS = ("HTTP/1.1",) * 12 + ("HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.9", "HTTP/11", "http/1.1", "")
_HEADERS = (
    "Transfer-Encoding: chunked", "Transfer-Encoding: identity, chunked, xchunked", "Transfer-Encoding: gzip",
    "Transfer-Encoding : chunked", "Content-Length: -1", "Content-Length: +5", "Content-Length: 5, 5",
    "Content-Length: 99999999999999999999", "Content-Length: 0x10", "Content-Length: 1", "Content-Length: ",
    "Content-Length: 4000000", "Host: two", "Host:", "Connection: close", "Connection: upgrade", "Upgrade: h2c",
    "Upgrade: websocket", "Expect: 100-continue", "Expect: nonsense", "Content-Encoding: gzip", "Range: bytes=0-,0-,0-",
    "X-Request-Id: a b", "Authorization: Basic eA==", "Authorization: Bearer", "Accept: */*", "No-Colon", ": empty",
    "Inference-Header-Content-Length: 99999999999999999999", "Inference-Header-Content-Length: x", " folded: x",
    "X-Long: " + "a" * 3000, "X-Nul: a\x00b", "X-High: \xff\xfe", "Cookie: " + "a=b; " * 200,
    "Inference-Header-Content-Length: " + "0" * 5000 + "1",
)  # fmt: skip
_CHUNKS = (b"zz\r\n", b"-5\r\nhello\r\n", b"FFFFFFFFFFFFFFFFF\r\nx\r\n", b"5\r\nhel", b"5;ext=" + b"e" * 5000 + b"\r\nhello\r\n",
           b"0\r\nTrailer: x\r\n\r\n", b"0\r\n" + b"T: x\r\n" * 500 + b"\r\n", b"5\nhello\n", b"0x5\r\nhello\r\n", b"\r\n")  # fmt: skip
_STRANGE = (
    b"", b"\r\n", b"\r\n\r\n", b"GET /\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 64, b"\xff" * 64,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, b"GET http://other/livez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /%00%2e%2e/%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //v1//models HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/models?" + b"q=1&" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip


@dataclass(frozen=True)
class Wire:
    """What is sent over one connection.

    Attributes:
        number: What it was made from.
        parts: What is sent, one part after another.
        ending: ``close`` the sending side and listen, ``leave`` without listening, or ``reset`` the connection.
    """

    number: int
    parts: tuple[bytes, ...]
    ending: str

    def __str__(self) -> str:
        """Say what is needed to see it again."""
        return f"wire {self.number}: {b'|'.join(self.parts)[:1500]!r} then {self.ending}"


def make_wire(number: int) -> Wire:
    """Make what is sent over one connection."""
    chooser = random.Random(number)
    message = b"".join(_request(chooser) for _ in range(chooser.choice((1, 1, 1, 1, 2, 5))))
    for _ in range(chooser.choice((0, 0, 1, 1, 2, 4))):
        message = chooser.choice(_DAMAGES)(message, chooser)
    ending = chooser.choice(("close",) * 8 + ("leave", "reset"))
    return Wire(number, _split(message, chooser), ending)


def _request(chooser: random.Random) -> bytes:
    if chooser.random() < 0.08:
        return chooser.choice(_STRANGE)
    body = chooser.choice(_BODIES)
    headers = ["Host: x"] * (chooser.random() < 0.95) + ["Content-Type: application/json"] * (chooser.random() < 0.95)
    chunked = chooser.random() < 0.3
    headers.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
    headers += chooser.sample(_HEADERS, chooser.choice((0, 0, 0, 1, 1, 2)))
    chooser.shuffle(headers)
    start = f"{chooser.choice(_METHODS)} {chooser.choice(_PATHS)} {chooser.choice(_VERSIONS)}"
    head = "\r\n".join([start, *headers]) + "\r\n\r\n"
    return head.encode("latin-1") + (_chunked(body, chooser) if chunked else body)


_BODIES = (
    b'{"model": "test-model", "input": "hello"}', b'{"inputs": "the [MASK] is"}', b"", b"{}", b"\xff\xfe", b"x" * 3000,
    b'{"model": "test-model", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}',
    b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a [MASK]"]}]}',
    b'{"model": "test-model", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2, "stream": true}',
)  # fmt: skip


def _chunked(body: bytes, chooser: random.Random) -> bytes:
    size = chooser.choice((1, 7, 100))
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    framed = [f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks]
    if chooser.random() < 0.3:
        framed.insert(chooser.randint(0, len(framed)), chooser.choice(_CHUNKS))
    return b"".join(framed) + (b"0\r\n\r\n" if chooser.random() < 0.9 else b"")


def _flip(message: bytes, chooser: random.Random) -> bytes:
    at = chooser.randrange(len(message) + 1)
    return message[:at] + bytes([chooser.randrange(256)]) + message[at + 1 :]


def _cut(message: bytes, chooser: random.Random) -> bytes:
    return message[: chooser.randrange(len(message) + 1)]


def _repeat(message: bytes, chooser: random.Random) -> bytes:
    first, second = sorted((chooser.randrange(len(message) + 1), chooser.randrange(len(message) + 1)))
    return message[:second] + message[first:second] + message[second:]


def _drop(message: bytes, chooser: random.Random) -> bytes:
    first = chooser.randrange(len(message) + 1)
    return message[:first] + message[first + chooser.randrange(20) :]


def _insert(message: bytes, chooser: random.Random) -> bytes:
    at = chooser.randrange(len(message) + 1)
    pieces = (
        b"\r\n",
        b"\r",
        b"\n",
        b"\x00",
        b"\r\n\r\n",
        b"%00",
        b" ",
        b"\t",
        bytes(chooser.randrange(256) for _ in range(16)),
    )
    return message[:at] + chooser.choice(pieces) + message[at:]


def _bare_lines(message: bytes, chooser: random.Random) -> bytes:
    return message.replace(b"\r\n", b"\n")


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _cut,
    _repeat,
    _drop,
    _insert,
    _insert,
    _bare_lines,
)


def _split(message: bytes, chooser: random.Random) -> tuple[bytes, ...]:
    """Cut a message into up to four parts, which the server gets one after another."""
    cuts = sorted(chooser.randrange(len(message) + 1) for _ in range(chooser.choice((0, 0, 1, 3))))
    return tuple(message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True))
