"""The model list."""

import time

from fastapi import APIRouter, Request

from llmi_server.errors import UnknownModelError
from llmi_server.schema.model_list import ModelCard, ModelList


def model_routes(model_name: str) -> APIRouter:
    """Return the routes that say which model is served."""
    router = APIRouter(tags=["models"])
    card = ModelCard(id=model_name, created=int(time.time()))

    @router.get("/v1/models")
    async def list_models(request: Request) -> ModelList:
        request.state.operation = "models"
        return ModelList(data=[card])

    @router.get("/v1/models/{name:path}")
    async def get_model(name: str, request: Request) -> ModelCard:
        request.state.operation = "models"
        require_served(name, model_name)
        return card

    return router


def require_served(asked: str, served: str, *, param: str | None = None) -> None:
    """Refuse a model that is not the one served.

    Raises:
        UnknownModelError: It is another.
    """
    if asked != served:
        raise UnknownModelError(f"The model {asked[:100]!r} is not served here; {served!r} is.", param=param)
