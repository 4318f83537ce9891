"""OpenAI's older completions."""

import time
import uuid
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from starlette.responses import Response

from llmi_api.launch import Task
from llmi_server.errors import InvalidRequestError
from llmi_server.generation.answer import ToldToken
from llmi_server.generation.service import GenerationService
from llmi_server.generation.steps import FinishReason
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.schema.completion import (
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
    tell_tokens,
)
from llmi_server.schema.generation import Usage, count_usage
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry
from llmi_server.web.body import read_body
from llmi_server.web.disconnect import while_connected
from llmi_server.web.documented import ERRORS, takes
from llmi_server.web.event_stream import DONE, event, respond_with_events
from llmi_server.web.generation_answers import WholeAnswer, answer_whole
from llmi_server.web.model_routes import require_served


def completion_routes(lifecycle: Lifecycle, telemetry: Telemetry, settings: ServeSettings) -> APIRouter:
    """Return the completions route."""
    router = APIRouter(tags=["completions"])

    @router.post("/v1/completions", openapi_extra=takes(CompletionRequest), response_model=Completion, responses=ERRORS)
    async def create_completion(request: Request) -> Response:
        request.state.operation = "completions"
        if settings.task is not Task.TEXT_GENERATION:
            raise InvalidRequestError(f"This model does {settings.task}, not completions.")
        service = lifecycle.service(GenerationService)
        body = await read_body(request, CompletionRequest, settings)
        require_served(body.model, settings.model_name, param="model")
        body.check_stream_options()
        writer = _Writer(body)
        if body.stream:
            return await respond_with_events(request, writer.events(service), telemetry)
        answer = await while_connected(request, answer_whole(service, body.to_ask()))
        return Response(writer.whole(answer).model_dump_json(), media_type="application/json")

    return router


class _Writer:
    """Writes one answer, whole or in chunks."""

    def __init__(self, body: CompletionRequest) -> None:
        self._body = body
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._written = 0

    def whole(self, answer: WholeAnswer) -> Completion:
        usage = count_usage(answer.prompt_tokens, answer.generated)
        return self._completion(answer.text, answer.tokens, answer.finish, usage)

    async def events(self, service: GenerationService) -> AsyncGenerator[bytes, None]:
        generated = 0
        async with service.generate(self._body.to_ask()) as generation:
            async for piece in generation:
                generated = piece.generated
                yield event(self._completion(piece.text, piece.tokens, piece.finish, None))
            if self._body.wants_usage:
                usage = count_usage(generation.prompt_tokens, generated)
                yield event(self._envelope([], usage))
        yield DONE

    def _completion(
        self, text: str, tokens: tuple[ToldToken, ...], finish: FinishReason | None, usage: Usage | None
    ) -> Completion:
        choice = CompletionChoice(
            text=text, logprobs=self._logprobs(tokens), finish_reason=finish.value if finish else None
        )
        self._written += len(text)
        return self._envelope([choice], usage)

    def _envelope(self, choices: list[CompletionChoice], usage: Usage | None) -> Completion:
        return Completion(id=self._id, created=self._created, model=self._body.model, choices=choices, usage=usage)

    def _logprobs(self, tokens: tuple[ToldToken, ...]) -> CompletionLogprobs | None:
        if self._body.logprobs is None:
            return None
        return tell_tokens(tokens, offset=self._written, with_top=self._body.logprobs > 0)
