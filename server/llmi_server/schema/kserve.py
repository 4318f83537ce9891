"""KServe's open inference protocol, version 2: texts in, texts or numbers out, as JSON or as bytes after it."""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from llmi_api.launch import Task
from llmi_server.errors import InvalidRequestError
from llmi_server.schema.number_json import to_json
from llmi_server.schema.request import RequestBody

_LENGTH = struct.Struct("<I")
_OF_THE_PROTOCOL = frozenset(
    {"binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
)
"""Parameters of a request that clients send of their own accord; all others are the task's."""

Value = str | int | float | bool
Parameters = Annotated[dict[str, Value], Field(max_length=32)]


class InputTensor(RequestBody):
    """Texts of a request."""

    name: str = Field(max_length=100)
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=4)
    datatype: Literal["BYTES"]
    parameters: Parameters = Field(default={})
    data: list[Any] | None = Field(default=None, description="The texts, in row-major order; nested lists are taken.")


class OutputWish(RequestBody):
    """An output that is wanted."""

    name: str = Field(max_length=100)
    parameters: Parameters = Field(default={})


class InferRequest(RequestBody):
    """Body of ``POST /v2/models/{name}/infer``."""

    id: str | None = Field(default=None, max_length=200, description="Comes back with the answer.")
    parameters: Parameters = Field(default={}, description="Parameters of the task.")
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[OutputWish] | None = Field(default=None, max_length=1)

    @property
    def task_parameters(self) -> dict[str, Value]:
        """The parameters that are the task's."""
        return without_protocol(self.parameters)

    @property
    def wants_binary(self) -> bool:
        """Whether the output shall come as bytes after the JSON."""
        if self.outputs:
            return self.outputs[0].parameters.get("binary_data") is True
        return self.parameters.get("binary_data_output") is True


class TensorMetadata(BaseModel):
    """An input or output of the model."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """Answer of ``GET /v2/models/{name}``."""

    name: str
    versions: list[str] = ["1"]
    platform: str = "llminference"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """Answer of ``GET /v2``."""

    name: str = "llminference"
    version: str
    extensions: list[str] = ["binary_tensor_data"]


def without_protocol(parameters: Mapping[str, Value]) -> dict[str, Value]:
    """Return the parameters of a request that are the task's."""
    return {name: value for name, value in parameters.items() if name not in _OF_THE_PROTOCOL}


def texts_of(request: InferRequest, binary: bytes) -> list[str]:
    """Return the texts of the one input.

    Args:
        request: The request.
        binary: What came after its JSON.

    Raises:
        InvalidRequestError: The input is not what it says of itself.
    """
    (tensor,) = request.inputs
    if tensor.name != INPUT.name:
        raise InvalidRequestError(f"The model has no input {tensor.name!r}; it has {INPUT.name!r}.", param="inputs")
    if tensor.data is None:
        if tensor.parameters.get("binary_data_size") != len(binary):
            raise InvalidRequestError("binary_data_size is not the number of bytes after the JSON.", param="inputs")
        texts = _unpack(binary)
    else:
        if binary:
            raise InvalidRequestError("The request has bytes after its JSON that no input names.", param="inputs")
        texts = _flat(tensor.data)
    if math.prod(tensor.shape) != len(texts):
        raise InvalidRequestError(f"The shape {tensor.shape} is not that of {len(texts)} texts.", param="inputs")
    return texts


def render(request: InferRequest, model: str, metadata: TensorMetadata, values: Sequence[object]) -> tuple[bytes, int]:
    """Return the body of the answer, and the length of its JSON if bytes follow it, else 0.

    Args:
        request: The request.
        model: Name of the model.
        metadata: The output.
        values: One for each text: a vector, a number, or anything that JSON can say.

    Raises:
        InvalidRequestError: Another output is wanted.
    """
    if request.outputs and request.outputs[0].name != metadata.name:
        raise InvalidRequestError(f"The model has no output {request.outputs[0].name!r}; it has {metadata.name!r}.")
    numeric = metadata.datatype == "FP32"
    numbers = np.asarray(values, dtype="<f4") if numeric else None
    texts = [] if numeric else [to_json(value) for value in values]
    shape = list(numbers.shape) if numbers is not None else [len(texts)]
    if len(shape) == 1:
        shape = _as_asked(request.inputs[0].shape, len(values))
    tensor: dict[str, Any] = {"name": metadata.name, "datatype": metadata.datatype, "shape": shape}
    packed = b""
    if request.wants_binary:
        packed = numbers.tobytes() if numbers is not None else b"".join(map(_pack, texts))
        tensor["parameters"] = {"binary_data_size": len(packed)}
    else:
        tensor["data"] = numbers.reshape(-1) if numbers is not None else [text.decode() for text in texts]
    answer: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": [tensor]}
    if request.id is not None:
        answer["id"] = request.id
    content = to_json(answer)
    return content + packed, len(content) if request.wants_binary else 0


INPUT = TensorMetadata(name="text", datatype="BYTES", shape=[-1])
EMBEDDING = TensorMetadata(name="embedding", datatype="FP32", shape=[-1, -1])
SCORE = TensorMetadata(name="score", datatype="FP32", shape=[-1])
ANSWER = TensorMetadata(name="answer", datatype="BYTES", shape=[-1])
"""JSON of the task route's answer for each text."""


OUTPUTS: Mapping[Task, TensorMetadata] = {Task.EMBEDDINGS: EMBEDDING, Task.RERANK: SCORE}
"""Outputs of the tasks whose answers are numbers; the others answer in words."""


def output_of(task: Task) -> TensorMetadata:
    """Return the output of a task."""
    return OUTPUTS.get(task, ANSWER)


def pack_values(metadata: TensorMetadata, values: Sequence[object]) -> Any:  # noqa: ANN401 - numbers or objects
    """Return answers as NumPy's array of what the output holds: numbers, or bytes as objects."""
    if metadata.datatype == "FP32":
        return np.asarray(values, dtype="<f4")
    packed = np.empty(len(values), dtype=object)
    packed[:] = [to_json(value) for value in values]
    return packed


def _as_asked(shape: list[int], count: int) -> list[int]:
    """One value for each text has the shape of the texts, where that is [texts, 1], which Triton insists on."""
    return [count, 1] if shape == [count, 1] else [count]


def _flat(data: list[Any]) -> list[str]:
    texts: list[str] = []
    rest = list(reversed(data))
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest += reversed(part)
        elif isinstance(part, str):
            texts.append(part)
        else:
            raise InvalidRequestError("data holds something that is not a text.", param="inputs")
    return texts


def _unpack(binary: bytes) -> list[str]:
    texts, at = [], 0
    try:
        while at < len(binary):
            (length,) = _LENGTH.unpack_from(binary, at)
            at += _LENGTH.size + length
            if at > len(binary):
                raise InvalidRequestError("The bytes after the JSON break off within a text.", param="inputs")
            texts.append(binary[at - length : at].decode("utf-8"))
    except struct.error:
        raise InvalidRequestError("The bytes after the JSON break off within a length.", param="inputs") from None
    except UnicodeDecodeError:
        raise InvalidRequestError("A text after the JSON is not valid UTF-8.", param="inputs") from None
    return texts


def _pack(text: bytes) -> bytes:
    return _LENGTH.pack(len(text)) + text


def error_body(message: str) -> Mapping[str, str]:
    """Return the protocol's own error body."""
    return {"error": message}
