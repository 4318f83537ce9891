"""Runs inside vLLM, in our front: KServe's open inference protocol, version 2, on vLLM's own routes.

A request is put to vLLM's route within this process, and its answer told in the protocol's words: names, shapes,
parameters and errors are those of the bundled server and of our back end in Triton, so that a client need not know
which of the three answers. Read by the Python of vLLM's image, which has Pydantic.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

# In the pod there is no package of ours: the front loads both files as one.
from .kserve import (
    HEADER_LENGTH,
    INPUT,
    LENGTH,
    OF_THE_PROTOCOL,
    Headers,
    InferRequest,
    Output,
    RefusedError,
    Strict,
    Values,
    find_length,
    parse,
    read_texts,
    render,
    validate,
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = re.compile(
    r"/v2(?:/health/(?P<health>live|ready)"
    r"|/models/(?P<name>.+?)(?:/versions/(?P<version>[^/]+))?(?:/(?P<what>ready|infer))?)?"
)
OF_THE_BODY = frozenset({b"content-type", b"content-length", b"content-encoding", b"transfer-encoding"})
LONGEST_MESSAGE = 1000


class Truncation(Strict):
    """What becomes of texts that are too long."""

    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = None

    def cut(self) -> dict[str, Any]:
        """The same in vLLM's words."""
        if not self.truncate:
            return {}
        return {"truncate_prompt_tokens": -1, "truncation_side": (self.truncation_direction or "right").lower()}


class Embeddings(Truncation):
    """One vector for each text."""

    route: ClassVar = "/v1/embeddings"
    output: ClassVar = Output("embedding", "FP32", (-1, -1))

    normalize: bool | None = None

    def ask(self, texts: Sequence[str]) -> dict[str, Any]:
        """What vLLM is asked."""
        body = {"input": texts, "encoding_format": "base64", "embed_dtype": "float32", "endianness": "little"}
        return body | self.cut() | ({} if self.normalize is None else {"use_activation": self.normalize})

    def read(self, answer: Mapping[str, Any], _: Mapping[str, Any]) -> Values:
        """What its answer means."""
        vectors = [base64.b64decode(item["embedding"]) for item in sorted(answer["data"], key=_index)]
        return _numbers([len(vectors), len(vectors[0]) // 4], b"".join(vectors))


class TextClassification(Truncation):
    """Label and score of the classes of each text, best first, as JSON.

    vLLM tells the name of the best class only, and is asked for what the model gives: names and what makes scores of it
    are in the model's configuration.
    """

    route: ClassVar = "/classify"
    output: ClassVar = Output("answer", "BYTES", (-1,))

    top_k: int | None = Field(default=None, ge=1, le=100_000)
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None

    def ask(self, texts: Sequence[str]) -> dict[str, Any]:
        """What vLLM is asked."""
        return {"input": texts, "use_activation": False} | self.cut()

    def read(self, answer: Mapping[str, Any], config: Mapping[str, Any]) -> Values:
        """What its answer means."""
        names = {int(number): str(name) for number, name in (config.get("id2label") or {}).items()}
        texts = []
        for item in sorted(answer["data"], key=_index):
            scores = self._score(item["probs"], config.get("problem_type"))
            best = sorted(range(len(scores)), key=lambda number: -scores[number])[: self.top_k]
            classes = [{"label": names.get(i, f"LABEL_{i}"), "score": scores[i]} for i in best]
            texts.append(json.dumps(classes, ensure_ascii=False, separators=(",", ":")))
        packed = b"".join(LENGTH.pack(len(text.encode())) + text.encode() for text in texts)
        return Values([len(texts)], packed, lambda: texts)

    def _score(self, numbers: list[float], problem: str | None) -> list[float]:
        several = problem == "multi_label_classification" or len(numbers) == 1
        usual = "none" if problem == "regression" else "sigmoid" if several else "softmax"
        function = self.function_to_apply or usual
        if function == "none":
            return numbers
        if function == "sigmoid":
            return [_sigmoid(number) for number in numbers]
        highest = max(numbers)
        powers = [math.exp(number - highest) for number in numbers]
        return [power / sum(powers) for power in powers]


class Rerank(Strict):
    """How well each text answers a query."""

    route: ClassVar = "/score"
    output: ClassVar = Output("score", "FP32", (-1,))

    query: str = Field(min_length=1)
    raw_scores: bool = False

    def ask(self, texts: Sequence[str]) -> dict[str, Any]:
        """What vLLM is asked."""
        if not self.query.strip():
            raise RefusedError(400, "query is empty.")
        return {"queries": self.query, "documents": texts, "use_activation": False}

    def read(self, answer: Mapping[str, Any], _: Mapping[str, Any]) -> Values:
        """What its answer means."""
        numbers = [item["score"] for item in sorted(answer["data"], key=_index)]
        scores = numbers if self.raw_scores else [_sigmoid(number) for number in numbers]
        return _numbers([len(scores)], struct.pack(f"<{len(scores)}f", *scores))


Task = Embeddings | TextClassification | Rerank
TASKS: Mapping[str, type[Task]] = {
    "embeddings": Embeddings,
    "text-classification": TextClassification,
    "rerank": Rerank,
}


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    headers: Headers


class KServe:
    """Answers the protocol's paths, and lets all others pass.

    Args:
        app: vLLM's application.
        model: Name of the model.
        task: What it does.
        folder: Where its files lie.
    """

    def __init__(self, app: App, *, model: str, task: str, folder: str) -> None:
        self._app = app
        self._model = model
        self._task = TASKS[task]
        config = Path(folder) / "config.json"
        self._config = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        asked = PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answer(asked.groupdict(), scope, receive)
        except RefusedError as error:
            body = json.dumps({"error": str(error)[:LONGEST_MESSAGE]}).encode()
            answer = Answer(error.status, body, [*error.headers, (b"content-type", b"application/json")])
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, asked: dict[str, str | None], scope: Scope, receive: Receive) -> Answer:
        method = "POST" if asked["what"] == "infer" else "GET"
        if scope["method"] != method:
            raise RefusedError(405, f"This route takes {method}.", [(b"allow", method.encode())])
        if asked["name"] is not None:
            self._require(asked["name"], asked["version"])
        if asked["what"] == "infer":
            return await self._infer(scope, receive)
        if asked["health"] == "live":
            return Answer(200, b"", [])
        if asked["health"] == "ready" or asked["what"] == "ready":
            health = await self._call(scope, receive, "/health")
            return Answer(200 if health.status == HTTPStatus.OK else 503, b"", [])
        if asked["name"] is not None:
            tensors = {"inputs": [INPUT.describe()], "outputs": [self._task.output.describe()]}
            return _json({"name": self._model, "versions": ["1"], "platform": "vllm", **tensors})
        version = _read_object((await self._call(scope, receive, "/version")).body).get("version", "")
        return _json({"name": "vllm", "version": version, "extensions": ["binary_tensor_data"]})

    def _require(self, name: str, version: str | None) -> None:
        if name not in {self._model, self._model.rpartition("/")[2]}:
            raise RefusedError(404, f"The model {name[:100]!r} is not served here; {self._model!r} is.")
        if version not in {None, "1"}:
            raise RefusedError(404, f"The model {version!r} is not served here; '1' is.")

    async def _infer(self, scope: Scope, receive: Receive) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("content-encoding", "identity") != "identity":
            raise RefusedError(415, "The body is compressed; send it plain.")
        content = await _read(receive)
        length = find_length(headers.get(HEADER_LENGTH), len(content))
        request = validate(InferRequest, parse(content[:length]))
        texts = read_texts(request, content[length:])
        chosen = {name: value for name, value in request.parameters.items() if name not in OF_THE_PROTOCOL}
        task = validate(self._task, chosen)
        wished = request.outputs[0].name if request.outputs else task.output.name
        if wished != task.output.name:
            raise RefusedError(400, f"The model has no output {wished!r}; it has {task.output.name!r}.")
        body = json.dumps({"model": self._model, **task.ask(texts)}).encode()
        told = await self._call(scope, receive, task.route, body)
        beside = [(name, value) for name, value in told.headers if name.lower() not in OF_THE_BODY]
        if told.status != HTTPStatus.OK:
            raise RefusedError(told.status, _find_message(told.body), beside)
        content, length = render(request, self._model, task.output, task.read(json.loads(told.body), self._config))
        if length:
            beside += [(HEADER_LENGTH.encode(), str(length).encode()), (b"content-type", b"application/octet-stream")]
        else:
            beside += [(b"content-type", b"application/json")]
        return Answer(200, content, beside)

    async def _call(self, scope: Scope, receive: Receive, path: str, body: bytes | None = None) -> Answer:
        """Ask vLLM within this process, as the client that asks us: who it is and what it traces passes on."""
        passed = [(name, value) for name, value in scope["headers"] if name.lower() not in OF_THE_BODY]
        if body is not None:
            passed += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        method = "GET" if body is None else "POST"
        inner = {**scope, "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        waiting = [{"type": "http.request", "body": body or b"", "more_body": False}]
        told: list[Message] = []

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        async def keep(message: Message) -> None:
            told.append(message)

        await self._app({**inner, "headers": passed}, replay, keep)
        content = b"".join(message.get("body", b"") for message in told)
        return Answer(told[0]["status"], content, list(told[0].get("headers", ())))


def _numbers(shape: list[int], packed: bytes) -> Values:
    return Values(shape, packed, lambda: list(struct.unpack(f"<{len(packed) // 4}f", packed)))


def _sigmoid(number: float) -> float:
    power = math.exp(-abs(number))
    return (1 if number >= 0 else power) / (1 + power)


def _index(item: Mapping[str, Any]) -> int:
    return int(item["index"])


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The request broke off.")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _read_object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _find_message(content: bytes) -> str:
    """The words of an error in OpenAI's shape."""
    error = _read_object(content).get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return str(message) if message else "vLLM refused the request, and did not say why."


def _json(document: object) -> Answer:
    return Answer(200, json.dumps(document).encode(), [(b"content-type", b"application/json")])
