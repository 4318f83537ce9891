"""uvicorn's h11 protocol with what it lacks: a deadline for request headers, and our error body for broken HTTP."""

import asyncio
import logging
import sys
from http import HTTPStatus

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from llmi_server.web.error_responses import broken_http
from llmi_server.web.request_id import choose_request_id

HEADER_SECONDS = 10.0


class BoundedH11Protocol(H11Protocol):
    """Closes connections whose first byte, or whose headers, do not arrive in time; answers broken ones in JSON."""

    _header_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the deadline holds until headers are complete."""
        if self._header_deadline is None and self.conn.their_state is h11.IDLE:
            self._await_headers()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless an answer to this request is under way already, and close."""
        error = sys.exception()  # the caller handles it and does not pass it on
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        logging.getLogger(__name__).debug("Broken HTTP: %s", error or msg)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            if self.cycle is not None:
                self.cycle.disconnected = True  # whatever the application still says has no place to go
                self.cycle.message_event.set()
            self._send_whole(broken_http(status, choose_request_id(None)))
        self.transport.close()

    def _send_whole(self, answer: JSONResponse) -> None:
        events = (
            h11.Response(
                status_code=answer.status_code,
                headers=answer.raw_headers,
                reason=HTTPStatus(answer.status_code).phrase.encode(),
            ),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")

    def _await_headers(self) -> None:
        self._header_deadline = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _give_up(self) -> None:
        self._header_deadline = None
        if not self.transport.is_closing():
            self.transport.close()
