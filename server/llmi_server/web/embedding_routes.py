"""OpenAI's embeddings."""

import asyncio
import base64
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_api.launch import Task
from llmi_server.engine.protocol import Output
from llmi_server.errors import InvalidRequestError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.inference.service import Answers, InferenceService
from llmi_server.schema.embedding import EmbeddingList, EmbeddingRequest, EmbeddingUsage
from llmi_server.schema.number_json import to_json
from llmi_server.settings import ServeSettings
from llmi_server.tasks.embeddings import EmbeddingParameters
from llmi_server.web.body import read_body
from llmi_server.web.disconnect import while_connected
from llmi_server.web.documented import ERRORS, takes
from llmi_server.web.long_inputs import told
from llmi_server.web.model_routes import require_served


def embedding_routes(lifecycle: Lifecycle, settings: ServeSettings) -> APIRouter:
    """Return the embeddings route."""
    router = APIRouter(tags=["embeddings"])

    @router.post(
        "/v1/embeddings",
        openapi_extra=takes(EmbeddingRequest),
        response_model=EmbeddingList,
        responses=ERRORS,
    )
    async def create_embeddings(request: Request) -> Response:
        request.state.operation = "embeddings"
        if settings.task is not Task.EMBEDDINGS:
            raise InvalidRequestError(f"This model does {settings.task}, not embeddings.")
        service = lifecycle.service(InferenceService)
        body = await read_body(request, EmbeddingRequest, settings)
        require_served(body.model, settings.model_name, param="model")
        texts = [body.input] if isinstance(body.input, str) else body.input
        parameters = EmbeddingParameters(truncate=body.truncate, prompt_name=body.prompt_name)
        answers = await while_connected(request, service.run(texts, parameters))
        content = await asyncio.to_thread(_render, answers, body)
        return Response(content, media_type="application/json", headers=told(answers))

    return router


def _render(answers: Answers, body: EmbeddingRequest) -> bytes:
    usage = EmbeddingUsage(
        prompt_tokens=answers.tokens,
        total_tokens=answers.tokens,
        truncated_inputs=answers.truncated or None,
        windowed_inputs=answers.windowed or None,
    )
    whole = EmbeddingList(data=[], model=body.model, usage=usage).model_dump(exclude_none=True)
    whole["data"] = [
        {"object": "embedding", "index": index, "embedding": _as_asked(cast("Output", vector), body.encoding_format)}
        for index, vector in enumerate(answers.answers)
    ]
    return to_json(whole)


def _as_asked(vector: Output, encoding_format: str) -> Output | str:
    if encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
    return vector
