"""Requests made from the server's own OpenAPI document: some as it describes them, most with something wrong in them.

Everything follows from the request's number, so that a failing one can be made again. Hand-made for our document,
where schemathesis's requests hardly get past the name of the model.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from llmi_testing.server import MODEL_NAME

Schema = Mapping[str, Any]

_WORDS = ("hello", "the capital of France is [MASK]", "", " ", "a" * 300, "\u0000", "\U0001f600" * 20, "e\u0301" * 40,
          "<|endoftext|>", "[MASK]", "../../etc/passwd", "{{ 7 * 7 }}", "NaN", "\u202eabc", "-1", "\r\n", "\ufeff")  # fmt: skip
_NUMBERS = (0, 1, -1, 2, 5, 0.5, -0.0, 1e-300, 1e300, 2**31, -(2**31), 2**63, 2**64, 10**400, 5.0, True, "5", None)
_RAW = (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 5000, b'"\\ud800"', b"[" * 3000, b'{"a":' * 2000, b"\xff",
        b"\xc0\xaf", b'{"a": 1, "a": 2}', b"01", b"'x'", b"\xef\xbb\xbf1", b"tru", b"")  # fmt: skip
_TOP_LEVEL = (b"", b"null", b"[]", b'"x"', b"1", b"{}", b"{", b"}", b"\x00", b"[" * 50_000, b"\xef\xbb\xbf{}")
_MEDIA = ("text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "application/json;",
          "application/x-www-form-urlencoded", "", "application/JSON", "application/json; charset=utf-8")  # fmt: skip
_METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE")
_MARK = "\ue000raw{}\ue000"


@dataclass(frozen=True, kw_only=True)
class MadeRequest:
    """A request.

    Attributes:
        number: What it was made from.
        method: Its method.
        path: Its path, quoted.
        headers: Its headers.
        content: Its body.
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    content: bytes

    def __str__(self) -> str:
        """Say what is needed to see it again."""
        return f"request {self.number}: {self.method} {self.path[:200]} {self.headers} {self.content[:500]!r}"


@dataclass(frozen=True)
class _Operation:
    method: str
    path: str
    schema: Schema | None


def requests_for(document: Schema, count: int, *, first: int = 0) -> Iterator[MadeRequest]:
    """Make requests for every operation in turn."""
    operations = [
        _Operation(method.upper(), path, _body_of(details))
        for path, methods in sorted(document["paths"].items())
        for method, details in sorted(methods.items())
    ]
    posts = [operation for operation in operations if operation.schema is not None]
    for number in range(first, first + count):
        chooser = random.Random(number)
        yield _make(chooser.choice(posts if chooser.random() < 0.85 else operations), number, chooser)


def _body_of(details: Schema) -> Schema | None:
    schema: Schema | None = details.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return schema


def _make(operation: _Operation, number: int, chooser: random.Random) -> MadeRequest:
    path = operation.path.replace("{name}", _name(chooser)).replace(
        "{number}", chooser.choice(("1", "1", "2", "x" * 99))
    )
    headers = {"content-type": "application/json"}
    method, content = operation.method, b""
    if operation.schema is not None:
        content = _Body(chooser).render(operation.schema)
        content = _damaged(content, chooser)
    if chooser.random() < 0.05:
        headers["content-type"] = chooser.choice(_MEDIA)
    if chooser.random() < 0.05:
        headers |= chooser.choice(_ODD_HEADERS)
    if chooser.random() < 0.03:
        method = chooser.choice(_METHODS)
    return MadeRequest(number=number, method=method, path=path, headers=headers, content=content)


_ODD_HEADERS: tuple[dict[str, str], ...] = (
    {"inference-header-content-length": "5"},
    {"inference-header-content-length": "0" * 5000 + "9"},
    {"inference-header-content-length": "-1"},
    {"content-encoding": "gzip"},
    {"content-encoding": "identity"},
    {"x-request-id": "y" * 5000},
    {"range": "bytes=0-,0-"},
    {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https"},
    {"authorization": "Bearer " + "k" * 10_000},
    {"upgrade": "websocket", "connection": "upgrade"},
    {"accept": "text/html", "accept-encoding": "gzip"},
)


def _name(chooser: random.Random) -> str:
    return (
        MODEL_NAME if chooser.random() < 0.9 else quote(chooser.choice(("other", "%2e%2e", "a/b", "\u0000", "x" * 500)))
    )


def _damaged(content: bytes, chooser: random.Random) -> bytes:
    """Return the body, or now and then one that is broken as bytes are."""
    chance = chooser.random()
    if chance < 0.85 or not content:
        return content
    at = chooser.randrange(len(content))
    kinds = (
        lambda: content[:at],
        lambda: content + content,
        lambda: content[:at] + bytes([chooser.randrange(256)]) + content[at + 1 :],
        lambda: content[:at] + chooser.choice(_RAW) + content[at:],
        lambda: chooser.choice(_TOP_LEVEL),
        lambda: content.decode("utf-8", "ignore").encode("utf-16"),
    )
    return chooser.choice(kinds)()


class _Body:
    """Makes one body. A third of them are as described; in the others any part may be something else."""

    def __init__(self, chooser: random.Random) -> None:
        self._chooser = chooser
        self._wrong = 0.0 if chooser.random() < 0.35 else 0.08
        self._raw: list[bytes] = []

    def render(self, schema: Schema) -> bytes:
        """Return the body for a schema."""
        content = json.dumps(self._value(schema, "", 0)).encode()
        for place, raw in enumerate(self._raw):
            content = content.replace(json.dumps(_MARK.format(place)).encode(), raw)
        return content

    def _value(self, schema: Schema, name: str, depth: int) -> Any:
        if self._chooser.random() < self._wrong:
            return self._anything(depth)
        if name == "model" and self._chooser.random() < 0.95:
            return MODEL_NAME
        several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if several:
            return self._value(self._chooser.choice(several), name, depth)
        if "const" in schema or "enum" in schema:
            return self._chooser.choice(schema.get("enum") or [schema["const"]])
        kinds = {"object": self._object, "array": self._array, "string": self._text, "integer": self._whole,
                 "number": self._number}  # fmt: skip
        kind = schema.get("type")
        if kind in kinds:
            return kinds[kind](schema, depth)
        return {"boolean": self._chooser.random() < 0.5, "null": None}.get(str(kind), "x")

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        made = {
            name: self._value(part, name, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in required or self._chooser.random() < 0.3
        }
        if self._chooser.random() < self._wrong:
            made.pop(self._chooser.choice([*made, ""]), None)
        if self._chooser.random() < self._wrong:
            made[self._chooser.choice(("nonsense", "__class__", "", "\u0000", "k" * 300, "model_config"))] = 1
        if (rest := schema.get("additionalProperties")) and isinstance(rest, dict):
            made |= {f"k{place}": self._value(rest, "", depth + 1) for place in range(self._chooser.randrange(3))}
        return made

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", 4)
        count = self._chooser.randint(least, max(least, min(most, 4)))
        if self._chooser.random() < self._wrong:
            count = self._chooser.choice((0, least - 1, min(most, 1500 if depth < 2 else 5) + 1, 5))
        return [self._value(schema.get("items", {"type": "string"}), "", depth + 1) for _ in range(max(0, count))]

    def _text(self, schema: Schema, depth: int) -> str:
        text = self._chooser.choice(_WORDS)
        return text[: schema.get("maxLength", len(text))] if self._chooser.random() > self._wrong else text * 50

    def _whole(self, schema: Schema, depth: int) -> int:
        least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        most = min(schema.get("maximum", schema.get("exclusiveMaximum", least + 11)), least + 10)
        return self._chooser.randint(int(least), int(most))

    def _number(self, schema: Schema, depth: int) -> float:
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        most = schema.get("maximum", schema.get("exclusiveMaximum", least + 1))
        return self._chooser.choice((least, most, self._chooser.uniform(least, most)))

    def _anything(self, depth: int) -> Any:
        kinds = (
            lambda: self._chooser.choice(_NUMBERS),
            lambda: self._chooser.choice(_WORDS),
            lambda: self._as_raw(self._chooser.choice(_RAW)),
            lambda: [self._chooser.choice(_NUMBERS)] * self._chooser.choice((0, 1, 3, 1000)),
            lambda: {self._chooser.choice(_WORDS): self._chooser.choice(_NUMBERS)},
            lambda: {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}},
            lambda: [[["x"]]] if depth > 2 else [self._anything(depth + 1)],
        )
        return self._chooser.choice(kinds)()

    def _as_raw(self, content: bytes) -> str:
        """Note bytes that JSON's writer would not write, and leave a mark where they belong."""
        self._raw.append(content)
        return _MARK.format(len(self._raw) - 1)
