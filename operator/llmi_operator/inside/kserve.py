"""KServe's open inference protocol, version 2: texts in, texts or numbers out, as JSON or as bytes after it.

The bundled server has the same in `llmi_server.schema.kserve`; what is here runs inside vLLM's image, by the Python and
Pydantic of which it is read.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

HEADER_LENGTH = "inference-header-content-length"
OF_THE_PROTOCOL = frozenset(
    {"binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
)
"""Parameters of a request that clients send of their own accord; all others are the task's."""
LENGTH = struct.Struct("<I")
Headers = list[tuple[bytes, bytes]]


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or []


class Strict(BaseModel):
    """Unknown fields are refused, and no value is converted to another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Parameters = Annotated[dict[str, str | int | float | bool], Field(max_length=32)]


class InputTensor(Strict):
    """Texts of a request."""

    name: str = Field(max_length=100)
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=4)
    datatype: Literal["BYTES"]
    parameters: Parameters = {}
    data: list[Any] | None = None


class OutputWish(Strict):
    """An output that is wanted."""

    name: str = Field(max_length=100)
    parameters: Parameters = {}


class InferRequest(Strict):
    """The JSON of a request."""

    id: str | None = Field(default=None, max_length=200)
    parameters: Parameters = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[OutputWish] | None = Field(default=None, max_length=1)

    @property
    def wants_binary(self) -> bool:
        """Whether the output shall come as bytes after the JSON."""
        if self.outputs:
            return self.outputs[0].parameters.get("binary_data") is True
        return self.parameters.get("binary_data_output") is True


@dataclass(frozen=True)
class Output:
    """An output of the model."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def describe(self) -> dict[str, Any]:
        """What a client is told of it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


INPUT = Output("text", "BYTES", (-1,))


@dataclass(frozen=True)
class Values:
    """What the output holds: its bytes, and the same for JSON."""

    shape: list[int]
    packed: bytes
    plain: Callable[[], list[Any]]


def read_texts(request: InferRequest, binary: bytes) -> list[str]:
    """The texts of the one input; ``binary`` is what came after the JSON."""
    (tensor,) = request.inputs
    if tensor.name != INPUT.name:
        raise RefusedError(400, f"The model has no input {tensor.name!r}; it has {INPUT.name!r}.")
    if tensor.data is None:
        if tensor.parameters.get("binary_data_size") != len(binary):
            raise RefusedError(400, "binary_data_size is not the number of bytes after the JSON.")
        texts = _unpack(binary)
    else:
        if binary:
            raise RefusedError(400, "The request has bytes after its JSON that no input names.")
        texts = _flatten(tensor.data)
    if math.prod(tensor.shape) != len(texts):
        raise RefusedError(400, f"The shape {tensor.shape} is not that of {len(texts)} texts.")
    if not texts:
        raise RefusedError(400, "inputs is empty.")
    for place, text in enumerate(texts):
        if not text.strip():
            raise RefusedError(400, f"inputs {place} is empty." if place else "inputs is empty.")
    return texts


def _flatten(data: list[Any]) -> list[str]:
    texts: list[str] = []
    rest = list(reversed(data))
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest += reversed(part)
        elif isinstance(part, str):
            texts.append(part)
        else:
            raise RefusedError(400, "data holds something that is not a text.")
    return texts


def _unpack(binary: bytes) -> list[str]:
    texts, at = [], 0
    try:
        while at < len(binary):
            (length,) = LENGTH.unpack_from(binary, at)
            at += LENGTH.size + length
            if at > len(binary):
                raise RefusedError(400, "The bytes after the JSON break off within a text.")
            texts.append(binary[at - length : at].decode("utf-8"))
    except struct.error:
        raise RefusedError(400, "The bytes after the JSON break off within a length.") from None
    except UnicodeDecodeError:
        raise RefusedError(400, "A text after the JSON is not valid UTF-8.") from None
    return texts


def render(request: InferRequest, model: str, output: Output, values: Values) -> tuple[bytes, int]:
    """The body of the answer, and the length of its JSON if bytes follow it, else 0."""
    shape, asked = values.shape, request.inputs[0].shape
    # One value for each text has the shape of the texts, where that is [texts, 1], which Triton insists on.
    shape = asked if [*shape, 1] == asked else shape
    tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": shape}
    if request.wants_binary:
        tensor["parameters"] = {"binary_data_size": len(values.packed)}
    else:
        tensor["data"] = values.plain()
    answer: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": [tensor]}
    if request.id is not None:
        answer["id"] = request.id
    content = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return (content + values.packed, len(content)) if request.wants_binary else (content, 0)


def find_length(told: str | None, whole: int) -> int:
    """Where the JSON of a body ends, by the header that says so."""
    if told is None:
        return whole
    if not re.fullmatch(r"[0-9]{1,20}", told) or int(told) > whole:
        raise RefusedError(400, "Inference-Header-Content-Length is not the length of the body's JSON.")
    return int(told)


def parse(content: bytes) -> object:
    """The JSON document in a body."""
    try:
        document = json.loads(content.decode("utf-8"))
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeDecodeError:
        raise RefusedError(400, "The body is not valid UTF-8.") from None
    except UnicodeEncodeError:
        raise RefusedError(400, "A string in the body holds half a surrogate pair.") from None
    except RecursionError:
        raise RefusedError(400, "The body is nested too deeply.") from None
    except ValueError as error:
        raise RefusedError(400, f"The body is not valid JSON: {error}.") from None
    return document


_Kind = TypeVar("_Kind", bound=Strict)


def validate(kind: type[_Kind], document: object) -> _Kind:
    """A document that fits; else the first fault is told."""
    if not isinstance(document, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    problem = max(problems, key=lambda item: item["type"] == "extra_forbidden")
    field = ".".join(str(part)[:60] for part in problem["loc"])[:200] or "The body"
    if problem["type"] == "extra_forbidden":
        raise RefusedError(400, f"{field} is not supported.")
    if problem["type"] == "missing":
        raise RefusedError(400, f"{field} is required.")
    raise RefusedError(400, f"{field}: {problem['msg']}.")
