"""The application: routers and error handlers around finished parts."""

from importlib.metadata import version

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from llmi_api.launch import Task
from llmi_server.errors import RequestError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry
from llmi_server.tracing.spans import Tracer
from llmi_server.web.access import ApiKeys
from llmi_server.web.chat_routes import chat_routes
from llmi_server.web.completion_routes import completion_routes
from llmi_server.web.embedding_routes import embedding_routes
from llmi_server.web.error_responses import count_rejection, from_framework, to_response
from llmi_server.web.gate import Gate
from llmi_server.web.health_routes import health_routes
from llmi_server.web.held_bodies import HeldBodies
from llmi_server.web.kserve_routes import kserve_routes
from llmi_server.web.model_routes import model_routes
from llmi_server.web.page_routes import page_routes
from llmi_server.web.rerank_routes import rerank_routes
from llmi_server.web.task_routes import task_routes
from llmi_server.web.text_generation_routes import text_generation_routes


def create_app(
    *, lifecycle: Lifecycle, telemetry: Telemetry, settings: ServeSettings, tracer: Tracer | None = None
) -> Gate:
    """Return the application inside its gate."""
    app = make_routes(lifecycle=lifecycle, telemetry=telemetry, settings=settings)
    keys = ApiKeys(settings.api_key_file) if settings.api_key_file else None
    bodies = HeldBodies(settings.max_held_bytes)
    return Gate(app, lifecycle=lifecycle, telemetry=telemetry, keys=keys, bodies=bodies, tracer=tracer)


def make_routes(*, lifecycle: Lifecycle, telemetry: Telemetry, settings: ServeSettings) -> FastAPI:
    """Return the bare application: every route and the translation of errors."""
    app = FastAPI(
        title="LLMInference model server",
        version=version("llminference"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # ours knows more
    )
    app.include_router(health_routes(lifecycle, telemetry, settings))
    app.include_router(model_routes(settings.model_name))
    app.include_router(embedding_routes(lifecycle, settings))
    app.include_router(rerank_routes(lifecycle, settings))
    app.include_router(chat_routes(lifecycle, telemetry, settings))
    app.include_router(completion_routes(lifecycle, telemetry, settings))
    if settings.task is Task.TEXT_GENERATION:
        app.include_router(text_generation_routes(lifecycle, telemetry, settings))
    else:
        app.include_router(kserve_routes(lifecycle, settings))
        app.include_router(task_routes(lifecycle, settings))
    app.include_router(page_routes())  # last, so that other methods are told what the API's routes take

    @app.exception_handler(RequestError)
    async def answer_request_error(request: Request, error: RequestError) -> Response:
        count_rejection(error, telemetry)
        return to_response(error, request.url.path)

    @app.exception_handler(HTTPException)
    async def answer_framework_error(request: Request, error: HTTPException) -> Response:
        return to_response(from_framework(error), request.url.path)

    return app
