"""KServe's open inference protocol, version 2, which Triton's clients speak too."""

import asyncio
import re
from importlib.metadata import version

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_api.launch import Task, short_name
from llmi_server.errors import InvalidRequestError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.inference.service import InferenceService
from llmi_server.schema.hugging_face import default_parameters
from llmi_server.schema.kserve import (
    INPUT,
    InferRequest,
    ModelMetadata,
    ServerMetadata,
    output_of,
    render,
    texts_of,
)
from llmi_server.schema.request import validate_body
from llmi_server.schema.strict_json import parse_json
from llmi_server.settings import ServeSettings
from llmi_server.tasks.task import TaskParameters
from llmi_server.web.body import read_bytes
from llmi_server.web.disconnect import while_connected
from llmi_server.web.documented import takes
from llmi_server.web.long_inputs import told
from llmi_server.web.model_routes import require_served

_PLAIN_NUMBER = re.compile(r"[0-9]{1,20}")
_HEADER_LENGTH = "inference-header-content-length"
_MODEL = ("/v2/models/{name:path}/versions/{number}", "/v2/models/{name:path}")


def kserve_routes(lifecycle: Lifecycle, settings: ServeSettings) -> APIRouter:
    """Return the routes under ``/v2``."""
    router = APIRouter(tags=["kserve"])
    output = output_of(settings.task)

    @router.get("/v2")
    async def server_metadata() -> ServerMetadata:
        return ServerMetadata(version=version("llminference"))

    @router.get("/v2/health/live")
    async def live() -> Response:
        return Response()

    @router.get("/v2/health/ready")
    async def ready() -> Response:
        return Response(status_code=200 if lifecycle.is_ready else 503)

    async def model_ready(name: str, number: str = "1") -> Response:
        _require(name, number, settings)
        return Response(status_code=200 if lifecycle.is_ready else 503)

    async def model_metadata(name: str, number: str = "1") -> ModelMetadata:
        _require(name, number, settings)
        return ModelMetadata(name=settings.model_name, inputs=[INPUT], outputs=[output])

    async def infer(request: Request, name: str, number: str = "1") -> Response:
        request.state.operation = "kserve"
        _require(name, number, settings)
        service = lifecycle.service(InferenceService)
        body, texts = _read(await read_bytes(request, settings), request.headers.get(_HEADER_LENGTH))
        parameters = _parameters(body, settings.task)
        answers = await while_connected(request, service.run(texts, parameters))
        content, header = await asyncio.to_thread(render, body, settings.model_name, output, answers.answers)
        if not header:
            return Response(content, media_type="application/json", headers=told(answers))
        headers = {_HEADER_LENGTH: str(header)} | told(answers)
        return Response(content, media_type="application/octet-stream", headers=headers)

    for path in _MODEL:
        router.add_api_route(f"{path}/ready", model_ready, methods=["GET"])
        router.add_api_route(f"{path}/infer", infer, methods=["POST"], openapi_extra=takes(InferRequest))
    for path in _MODEL:
        router.add_api_route(path, model_metadata, methods=["GET"])
    return router


def _require(name: str, number: str, settings: ServeSettings) -> None:
    if name != short_name(settings.model_name):
        require_served(name, settings.model_name)
    require_served(number, "1")


def _read(content: bytes, header_length: str | None) -> tuple[InferRequest, list[str]]:
    length = len(content)
    if header_length is not None:
        if not _PLAIN_NUMBER.fullmatch(header_length) or int(header_length) > length:
            raise InvalidRequestError("Inference-Header-Content-Length is not the length of the body's JSON.")
        length = int(header_length)
    body = validate_body(InferRequest, parse_json(content[:length]))
    return body, texts_of(body, content[length:])


def _parameters(body: InferRequest, task: Task) -> TaskParameters:
    return validate_body(type(default_parameters(task)), body.task_parameters)
