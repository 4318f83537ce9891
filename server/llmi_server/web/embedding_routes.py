"""OpenAI's embeddings."""

import asyncio
import base64
from typing import cast

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_api.launch import Task
from llmi_server.engine.protocol import Output
from llmi_server.errors import InvalidRequestError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.inference.service import Answers, InferenceService
from llmi_server.schema.embedding import Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage
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
    vectors = [_vector(cast("Output", vector), body.encoding_format) for vector in answers.answers]
    data = [Embedding(index=index, embedding=vector) for index, vector in enumerate(vectors)]
    usage = EmbeddingUsage(
        prompt_tokens=answers.tokens,
        total_tokens=answers.tokens,
        truncated_inputs=answers.truncated or None,
        windowed_inputs=answers.windowed or None,
    )
    return EmbeddingList(data=data, model=body.model, usage=usage).model_dump_json(exclude_none=True).encode()


def _vector(vector: Output, encoding_format: str) -> list[float] | str:
    if encoding_format == "base64":
        return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers
