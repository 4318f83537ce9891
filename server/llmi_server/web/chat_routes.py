"""OpenAI's chat completions."""

import time
import uuid
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_api.launch import Task
from llmi_server.errors import InvalidRequestError
from llmi_server.generation.answer import Piece
from llmi_server.generation.service import GenerationService
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.schema.chat import (
    AssistantMessage,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ChunkChoice,
    Delta,
    tell_tokens,
)
from llmi_server.schema.generation import count_usage
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry
from llmi_server.web.body import read_body
from llmi_server.web.disconnect import while_connected
from llmi_server.web.documented import ERRORS, takes
from llmi_server.web.event_stream import DONE, event, respond_with_events
from llmi_server.web.generation_answers import WholeAnswer, answer_whole
from llmi_server.web.model_routes import require_served

_UNNAMED_MODEL = "dummy"
"""What Hugging Face's client sends for the model when it was given only an address."""


def chat_routes(lifecycle: Lifecycle, telemetry: Telemetry, settings: ServeSettings) -> APIRouter:
    """Return the chat route."""
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions", openapi_extra=takes(ChatRequest), response_model=ChatCompletion, responses=ERRORS
    )
    async def create_chat_completion(request: Request) -> Response:
        request.state.operation = "chat"
        if settings.task is not Task.TEXT_GENERATION:
            raise InvalidRequestError(f"This model does {settings.task}, not chat.")
        service = lifecycle.service(GenerationService)
        body = await read_body(request, ChatRequest, settings)
        if body.model != _UNNAMED_MODEL:
            require_served(body.model, settings.model_name, param="model")
        body.check_stream_options()
        _check_logprobs(body)
        writer = _Writer(body)
        if body.stream:
            return await respond_with_events(request, writer.events(service), telemetry)
        answer = await while_connected(request, answer_whole(service, body.to_ask()))
        return Response(writer.whole(answer).model_dump_json(), media_type="application/json")

    return router


def _check_logprobs(body: ChatRequest) -> None:
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequestError("top_logprobs is only taken with logprobs: true.", param="top_logprobs")


class _Writer:
    """Writes one answer, whole or in chunks."""

    def __init__(self, body: ChatRequest) -> None:
        self._body = body
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def whole(self, answer: WholeAnswer) -> ChatCompletion:
        choice = ChatChoice(
            message=AssistantMessage(content=answer.text),
            logprobs=tell_tokens(answer.tokens) if self._body.logprobs else None,
            finish_reason=answer.finish.value,
        )
        usage = count_usage(answer.prompt_tokens, answer.generated)
        return ChatCompletion(id=self._id, created=self._created, model=self._body.model, choices=[choice], usage=usage)

    async def events(self, service: GenerationService) -> AsyncGenerator[bytes, None]:
        generated = 0
        opened = False
        async with service.generate(self._body.to_ask()) as generation:
            async for piece in generation:
                if not opened:
                    yield self._chunk(ChunkChoice(delta=Delta(role="assistant", content="")))
                    opened = True
                generated = piece.generated
                for choice in self._choices(piece):
                    yield self._chunk(choice)
            if self._body.wants_usage:
                yield self._chunk(None, usage=(generation.prompt_tokens, generated))
        yield DONE

    def _choices(self, piece: Piece) -> list[ChunkChoice]:
        """Return what a piece adds: its text, then the end, if it is one, in a chunk of its own."""
        choices = []
        if piece.text or piece.tokens:
            logprobs = tell_tokens(piece.tokens) if self._body.logprobs else None
            choices.append(ChunkChoice(delta=Delta(content=piece.text), logprobs=logprobs))
        if piece.finish is not None:
            choices.append(ChunkChoice(delta=Delta(), finish_reason=piece.finish.value))
        return choices

    def _chunk(self, choice: ChunkChoice | None, usage: tuple[int, int] | None = None) -> bytes:
        return event(
            ChatChunk(
                id=self._id,
                created=self._created,
                model=self._body.model,
                choices=[choice] if choice else [],
                usage=count_usage(*usage) if usage else None,
            )
        )
