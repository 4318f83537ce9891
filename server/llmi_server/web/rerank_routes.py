"""Rerank."""

import asyncio
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_api.launch import Task
from llmi_server.errors import InvalidRequestError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.inference.service import Answers, InferenceService
from llmi_server.schema.rerank import RankedDocument, RankedText, RerankAnswer, RerankRequest, RerankUsage
from llmi_server.settings import ServeSettings
from llmi_server.tasks.rerank import RerankParameters, ranked
from llmi_server.web.body import read_body
from llmi_server.web.disconnect import while_connected
from llmi_server.web.documented import ERRORS, takes
from llmi_server.web.long_inputs import told
from llmi_server.web.model_routes import require_served


def rerank_routes(lifecycle: Lifecycle, settings: ServeSettings) -> APIRouter:
    """Return the rerank route."""
    router = APIRouter(tags=["rerank"])

    @router.post("/v1/rerank", openapi_extra=takes(RerankRequest), response_model=RerankAnswer, responses=ERRORS)
    async def rerank(request: Request) -> Response:
        request.state.operation = "rerank"
        if settings.task is not Task.RERANK:
            raise InvalidRequestError(f"This model does {settings.task}, not rerank.")
        service = lifecycle.service(InferenceService)
        body = await read_body(request, RerankRequest, settings)
        require_served(body.model, settings.model_name, param="model")
        parameters = RerankParameters(query=body.query, truncate=body.truncate)
        answers = await while_connected(request, service.run(body.texts, parameters))
        content = await asyncio.to_thread(_render, answers, body)
        return Response(content, media_type="application/json", headers=told(answers))

    return router


def _render(answers: Answers, body: RerankRequest) -> bytes:
    texts = body.texts
    results = [
        RankedDocument(
            index=place,
            relevance_score=score,
            document=RankedText(text=texts[place]) if body.return_documents else None,
        )
        for place, score in ranked(cast("list[float]", answers.answers), body.top_n)
    ]
    usage = RerankUsage(
        prompt_tokens=answers.tokens, total_tokens=answers.tokens, truncated_inputs=answers.truncated or None
    )
    answer = RerankAnswer(model=body.model, results=results, usage=usage)
    return answer.model_dump_json(exclude_none=True).encode()
