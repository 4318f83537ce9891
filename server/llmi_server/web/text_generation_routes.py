"""Hugging Face's task request for text generation, in place of the encoders'."""

import json
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_server.generation.answer import Piece, ToldToken
from llmi_server.generation.service import GenerationService
from llmi_server.generation.steps import FinishReason
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.schema.text_generation import (
    GeneratedText,
    GeneratedToken,
    GenerationDetails,
    HuggingFaceFinish,
    StreamDetails,
    StreamedToken,
    TextGenerationRequest,
)
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry
from llmi_server.web.body import read_body
from llmi_server.web.disconnect import while_connected
from llmi_server.web.documented import ERRORS, takes
from llmi_server.web.event_stream import event, respond_with_events
from llmi_server.web.generation_answers import WholeAnswer, answer_whole
from llmi_server.web.model_routes import require_served


def text_generation_routes(lifecycle: Lifecycle, telemetry: Telemetry, settings: ServeSettings) -> APIRouter:
    """Return the task routes: at the root, and under the model's name."""
    router = APIRouter(tags=["task"])

    async def run(request: Request) -> Response:
        service = lifecycle.service(GenerationService)
        body = await read_body(request, TextGenerationRequest, settings)
        if body.stream:
            return await respond_with_events(request, _events(service, body), telemetry)
        answer = await while_connected(request, answer_whole(service, body.to_ask()))
        content = [_whole(answer, body).model_dump(exclude_none=True)]
        return Response(json.dumps(content, ensure_ascii=False).encode(), media_type="application/json")

    @router.post("/", openapi_extra=takes(TextGenerationRequest), responses=ERRORS)
    async def run_task(request: Request) -> Response:
        request.state.operation = "task"
        return await run(request)

    @router.post("/models/{name:path}", openapi_extra=takes(TextGenerationRequest), responses=ERRORS)
    async def run_named_task(name: str, request: Request) -> Response:
        request.state.operation = "task"
        require_served(name, settings.model_name)
        return await run(request)

    return router


def _whole(answer: WholeAnswer, body: TextGenerationRequest) -> GeneratedText:
    prefix = body.inputs if body.parameters.return_full_text else ""
    details = None
    if body.parameters.details:
        details = GenerationDetails(
            finish_reason=_finish(answer.finish, by_stop_string=answer.by_stop_string),
            generated_tokens=answer.generated,
            seed=body.parameters.seed,
            tokens=[_token(told, told.text) for told in answer.tokens],
        )
    return GeneratedText(generated_text=prefix + answer.text, details=details)


async def _events(service: GenerationService, body: TextGenerationRequest) -> AsyncGenerator[bytes, None]:
    text, last = "", GeneratedToken(id=0, logprob=0.0, special=True, text="")
    async with service.generate(body.to_ask()) as generation:
        async for piece in generation:
            text += piece.text
            if piece.tokens:
                last = _token(piece.tokens[-1], "")
            token = last.model_copy(update={"text": piece.text, "special": not piece.text})
            yield event(_streamed(token, piece, text, generation.prompt_tokens, body))


def _streamed(
    token: GeneratedToken, piece: Piece, text: str, prompt_tokens: int, body: TextGenerationRequest
) -> StreamedToken:
    if piece.finish is None:
        return StreamedToken(index=piece.generated, token=token)
    details = StreamDetails(
        finish_reason=_finish(piece.finish, by_stop_string=piece.by_stop_string),
        generated_tokens=piece.generated,
        input_length=prompt_tokens,
        seed=body.parameters.seed,
    )
    prefix = body.inputs if body.parameters.return_full_text else ""
    return StreamedToken(index=piece.generated, token=token, generated_text=prefix + text, details=details)


def _token(told: ToldToken, text: str) -> GeneratedToken:
    return GeneratedToken(id=told.token, logprob=told.logprob or 0.0, text=text)


def _finish(reason: FinishReason, *, by_stop_string: bool) -> HuggingFaceFinish:
    if reason is FinishReason.LENGTH:
        return "length"
    return "stop_sequence" if by_stop_string else "eos_token"
