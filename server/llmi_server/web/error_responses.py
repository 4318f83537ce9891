"""The one table from our errors to HTTP answers, in OpenAI's error shape."""

import collections
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from llmi_server import errors
from llmi_server.schema.error import ErrorBody, ErrorDetail
from llmi_server.schema.kserve import error_body
from llmi_server.telemetry import Telemetry
from llmi_server.web.lingering import LingeringResponse

_TABLE: dict[type[errors.RequestError], tuple[HTTPStatus, str, str | None]] = {
    errors.InputTooLongError: (HTTPStatus.BAD_REQUEST, "invalid_request_error", "context_length_exceeded"),
    errors.ContextExceededError: (HTTPStatus.BAD_REQUEST, "invalid_request_error", "context_length_exceeded"),
    errors.InvalidRequestError: (HTTPStatus.BAD_REQUEST, "invalid_request_error", None),
    errors.AccessDeniedError: (HTTPStatus.UNAUTHORIZED, "authentication_error", "invalid_api_key"),
    errors.UnknownModelError: (HTTPStatus.NOT_FOUND, "invalid_request_error", "model_not_found"),
    errors.UnknownRouteError: (HTTPStatus.NOT_FOUND, "invalid_request_error", "unknown_url"),
    errors.MethodNotAllowedError: (HTTPStatus.METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_supported"),
    errors.SlowBodyError: (HTTPStatus.REQUEST_TIMEOUT, "invalid_request_error", "body_timeout"),
    errors.BodyTooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "invalid_request_error", "body_too_large"),
    errors.UnsupportedMediaError: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", "unsupported_media"),
    errors.QueueFullError: (HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error", "queue_full"),
    errors.NotReadyError: (HTTPStatus.SERVICE_UNAVAILABLE, "server_error", "model_loading"),
    errors.DrainingError: (HTTPStatus.SERVICE_UNAVAILABLE, "server_error", "shutting_down"),
    errors.OutOfMemoryError: (HTTPStatus.SERVICE_UNAVAILABLE, "server_error", "out_of_memory"),
    errors.DeadlineExceededError: (HTTPStatus.GATEWAY_TIMEOUT, "server_error", "deadline_exceeded"),
    errors.EngineFailedError: (HTTPStatus.INTERNAL_SERVER_ERROR, "server_error", "engine_failed"),
}

_REJECTIONS: dict[type[errors.RequestError], str] = {
    errors.InputTooLongError: "too_long",
    errors.ContextExceededError: "too_long",
    errors.InvalidRequestError: "invalid",
    errors.BodyTooLargeError: "invalid",
    errors.UnsupportedMediaError: "invalid",
    errors.AccessDeniedError: "access",
    errors.QueueFullError: "queue_full",
    errors.NotReadyError: "not_ready",
    errors.DrainingError: "draining",
    errors.DeadlineExceededError: "deadline",
}

_RETRY_AFTER_SECONDS = {errors.QueueFullError: 1, errors.NotReadyError: 5, errors.DrainingError: 1,
                        errors.OutOfMemoryError: 5, errors.DeadlineExceededError: 5}  # fmt: skip
_KSERVE = "/v2/"
_LONGEST_MESSAGE = 1000
_BROKEN: dict[int, str] = collections.defaultdict(
    lambda: "This is not an HTTP/1.1 request, or it is malformed.",
    {
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request's headers are larger than 64 KiB.",
        HTTPStatus.NOT_IMPLEMENTED: "The request has a Transfer-Encoding other than chunked.",
    },
)


def status_of(error: errors.RequestError) -> int:
    """Return the HTTP status of an error."""
    return _TABLE[type(error)][0]


def to_body(error: errors.RequestError) -> ErrorBody:
    """Return what is told about an error, in an answer or within a stream."""
    _, kind, code = _TABLE[type(error)]
    detail = ErrorDetail(message=error.message[:_LONGEST_MESSAGE], type=kind, param=error.param, code=code)
    return ErrorBody(error=detail)


def to_response(error: errors.RequestError, path: str = "") -> JSONResponse:
    """Return the HTTP answer for an error, in the shape of the API that the path belongs to."""
    status, _, _ = _TABLE[type(error)]
    headers = {}
    if (seconds := _RETRY_AFTER_SECONDS.get(type(error))) is not None:
        headers["retry-after"] = str(seconds)
    if isinstance(error, errors.MethodNotAllowedError):
        headers["allow"] = error.allow
    if isinstance(error, errors.AccessDeniedError):
        headers["www-authenticate"] = "Bearer"
    kind_of_response = JSONResponse
    if isinstance(error, (errors.DrainingError, errors.BodyTooLargeError, errors.SlowBodyError)):
        headers["connection"] = "close"
        kind_of_response = LingeringResponse
    body = error_body(error.message[:_LONGEST_MESSAGE]) if path.startswith(_KSERVE) else to_body(error).model_dump()
    return kind_of_response(body, status_code=status, headers=headers)


def internal_error() -> JSONResponse:
    """Return the answer when we made a mistake; it tells the client nothing about us."""
    detail = ErrorDetail(message="The server failed on this request.", type="server_error", code="internal_error")
    return JSONResponse(ErrorBody(error=detail).model_dump(), status_code=HTTPStatus.INTERNAL_SERVER_ERROR)


def broken_http(status: int, request_id: str) -> JSONResponse:
    """Return the answer to bytes that are not an HTTP request; ``status`` is what the parser thinks of them."""
    detail = ErrorDetail(message=_BROKEN[status], type="invalid_request_error", code="broken_http")
    headers = {"connection": "close", "x-request-id": request_id}
    answered = HTTPStatus.BAD_REQUEST if status >= HTTPStatus.INTERNAL_SERVER_ERROR else status
    return JSONResponse(ErrorBody(error=detail).model_dump(), status_code=answered, headers=headers)


def count_rejection(error: errors.RequestError, telemetry: Telemetry) -> None:
    """Count a refusal under its reason."""
    if (reason := _REJECTIONS.get(type(error))) is not None:
        telemetry.rejected.labels(reason).inc()


def from_framework(error: HTTPException) -> errors.RequestError:
    """Return our error for one that the framework raised: no such route, or no such method."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = (error.headers or {}).get("Allow", "")
        return errors.MethodNotAllowedError(f"This route takes {allow}.", allow=allow)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return errors.UnknownRouteError("There is no such route. GET /openapi.json lists all of them.")
    return errors.InvalidRequestError("The request cannot be handled.")
