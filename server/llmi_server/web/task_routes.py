"""Hugging Face's task request: ``inputs`` and ``parameters``."""

import asyncio
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.inference.service import Answers, InferenceService
from llmi_server.schema.hugging_face import (
    TASK_REQUESTS,
    EmbeddingTaskRequest,
    RerankTaskRequest,
    TaskRequest,
    TextClassificationRequest,
)
from llmi_server.schema.number_json import to_json
from llmi_server.settings import ServeSettings
from llmi_server.tasks.rerank import ranked
from llmi_server.web.body import read_body
from llmi_server.web.disconnect import while_connected
from llmi_server.web.documented import ERRORS, takes
from llmi_server.web.long_inputs import told
from llmi_server.web.model_routes import require_served

_ALWAYS_A_LIST = (TextClassificationRequest, EmbeddingTaskRequest)
"""Requests whose answer is a list over inputs even for one text, as Hugging Face's inference API has it."""


def task_routes(lifecycle: Lifecycle, settings: ServeSettings) -> APIRouter:
    """Return the task routes: at the root, and under the model's name."""
    router = APIRouter(tags=["task"])
    kind = TASK_REQUESTS[settings.task]

    async def run(request: Request) -> Response:
        service = lifecycle.service(InferenceService)
        body = await read_body(request, kind, settings)
        answers = await while_connected(request, service.run(body.texts, body.chosen_parameters))
        content = await asyncio.to_thread(to_json, _shaped(body, answers))
        return Response(content, media_type="application/json", headers=told(answers))

    @router.post("/", openapi_extra=takes(kind), responses=ERRORS)
    async def run_task(request: Request) -> Response:
        request.state.operation = "task"
        return await run(request)

    @router.post("/models/{name:path}", openapi_extra=takes(kind), responses=ERRORS)
    async def run_named_task(name: str, request: Request) -> Response:
        request.state.operation = "task"
        require_served(name, settings.model_name)
        return await run(request)

    return router


def _shaped(body: TaskRequest | RerankTaskRequest, answers: Answers) -> object:
    if isinstance(body, RerankTaskRequest):
        return [{"index": place, "score": score} for place, score in ranked(cast("list[float]", answers.answers))]
    single = isinstance(body.inputs, str) and not isinstance(body, _ALWAYS_A_LIST)
    return answers.answers[0] if single else answers.answers
