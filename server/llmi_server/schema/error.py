"""OpenAI's error body, which every error of this server has."""

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """Body of every answer with a status from 400 up."""

    error: ErrorDetail
