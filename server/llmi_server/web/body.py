"""Reading a request body: bounded in size and time, plain JSON only, parsed off the event loop when large."""

import asyncio
from typing import TypeVar

from starlette.requests import Request

from llmi_server.errors import BodyTooLargeError, InvalidRequestError, SlowBodyError, UnsupportedMediaError
from llmi_server.schema.request import RequestBody, validate_body
from llmi_server.schema.strict_json import parse_json
from llmi_server.settings import ServeSettings

_SMALL_BODY_BYTES = 16_384
_BodyT = TypeVar("_BodyT", bound=RequestBody)


async def read_body(request: Request, kind: type[_BodyT], settings: ServeSettings) -> _BodyT:
    """Read, parse and check the body of a request.

    Raises:
        InvalidRequestError: It is not what ``kind`` describes.
        BodyTooLargeError: It is larger than the limit, by its header or in fact.
        UnsupportedMediaError: It is compressed, or not JSON.
        SlowBodyError: It did not arrive in time.
    """
    _check_media(request)
    body = await read_bytes(request, settings)
    if len(body) <= _SMALL_BODY_BYTES:
        return _parse(body, kind)
    return await asyncio.get_running_loop().run_in_executor(None, _parse, body, kind)


async def read_bytes(request: Request, settings: ServeSettings) -> bytes:
    """Read the body of a request, of whatever media type.

    Raises:
        InvalidRequestError: Its length is said in two ways.
        BodyTooLargeError: It is larger than the limit, by its header or in fact.
        UnsupportedMediaError: It is compressed.
        SlowBodyError: It did not arrive in time.
    """
    _check_headers(request, settings.max_body_bytes)
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            return await _receive(request, settings.max_body_bytes)
    except TimeoutError:
        raise SlowBodyError(f"The body did not arrive within {settings.body_timeout_seconds} seconds.") from None


def _parse(body: bytes, kind: type[_BodyT]) -> _BodyT:
    return validate_body(kind, parse_json(body))


def _check_media(request: Request) -> None:
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    if media.strip().lower() != "application/json":
        raise UnsupportedMediaError("Send the body as Content-Type: application/json.")
    charset = parameters.strip().lower().replace('"', "")
    if charset.startswith("charset=") and charset not in ("charset=utf-8", "charset=utf8", "charset=us-ascii"):
        raise UnsupportedMediaError("Send the body as UTF-8.")


def _check_headers(request: Request, limit: int) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaError("Send the body without Content-Encoding.")
    if "content-length" in request.headers and "transfer-encoding" in request.headers:
        raise InvalidRequestError("The request has both Content-Length and Transfer-Encoding.")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)


async def _receive(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than {limit} bytes, which is the limit.")
