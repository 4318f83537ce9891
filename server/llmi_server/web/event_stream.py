"""Server-sent events: what a stream looks like on the wire, and how it ends when its client does."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmi_server.errors import EngineFailedError, RequestError
from llmi_server.telemetry import Telemetry
from llmi_server.web.disconnect import while_connected
from llmi_server.web.error_responses import count_rejection, status_of, to_body

DONE = b"data: [DONE]\n\n"
_SLOWEST_READER_SECONDS = 60.0
_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""A proxy that collects events before it passes them on would undo the streaming."""


def event(content: BaseModel) -> bytes:
    """Return an event."""
    return b"data: " + content.model_dump_json().encode() + b"\n\n"


async def respond_with_events(request: Request, events: AsyncGenerator[bytes, None], telemetry: Telemetry) -> Response:
    """Return a response that streams; waits for the first event, so that early errors are ordinary answers.

    Raises:
        RequestError: There is no first event, and why.
        ClientDisconnect: The client left before it.
    """
    told = _with_errors(request, events, telemetry)
    first = await while_connected(request, _next(told))
    return EventStream(first, told)


async def _next(events: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(events)


async def _with_errors(
    request: Request, events: AsyncGenerator[bytes, None], telemetry: Telemetry
) -> AsyncGenerator[bytes, None]:
    """Pass events on; an error after the first of them becomes the last one."""
    begun = False
    try:
        async for content in events:
            yield content
            begun = True
    except RequestError as error:
        if not begun:
            raise
        count_rejection(error, telemetry)
        request.state.status = status_of(error)
        yield event(to_body(error))
    except Exception:
        if not begun:
            raise
        logging.getLogger(__name__).exception("Stream failed")
        ours = EngineFailedError("The server failed on this request.")
        request.state.status = status_of(ours)
        yield event(to_body(ours))
    finally:
        await events.aclose()


class EventStream(Response):
    """Sends events as they come; a client that leaves, or does not read, ends them."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send everything.

        Raises:
            ClientDisconnect: The client left, or did not read for a minute.
        """
        pump = asyncio.ensure_future(self._pump(send))
        watcher = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({pump, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not pump.done():
                raise ClientDisconnect
            pump.result()
        except TimeoutError:
            raise ClientDisconnect from None
        finally:
            for task in (pump, watcher):
                task.cancel()
            await asyncio.gather(pump, watcher, return_exceptions=True)
            await self._rest.aclose()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send_within(send, self._first, more=True)
        async for content in self._rest:
            await _send_within(send, content, more=True)
        await _send_within(send, b"", more=False)


async def _send_within(send: Send, content: bytes, *, more: bool) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": content, "more_body": more}
    async with asyncio.timeout(_SLOWEST_READER_SECONDS):
        await send(message)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
