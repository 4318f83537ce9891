"""uvicorn's h11 protocol with what it lacks: bounds on slow and on many connections, and our error for broken HTTP."""

import asyncio
import logging
import resource
import sys
from http import HTTPStatus
from typing import cast

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from llmi_server.web.error_responses import broken_http
from llmi_server.web.request_id import choose_request_id

HEADER_SECONDS = 10.0
READER_SECONDS = 60.0
_READER_BYTES = 16_384
"""How much of an answer a client must take in that time, if so much is left."""

MOST_CONNECTIONS = 10_000
_SPARE_FILES = 128


class BoundedH11Protocol(H11Protocol):
    """Closes connections that hold the server up, and answers broken ones in JSON.

    Those are: the first byte, the headers, or the rest of a body that is answered already do not arrive in time; the
    client does not read what it asked for; or there are too many, and this one has nothing under way.
    """

    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _unread = 0

    @property
    def is_resting(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._make_room()
        self._expect_bytes()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        self._stop_waiting()
        self._stop_watching()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the deadline holds until headers, or the rest of an answered body, are complete."""
        if self._deadline is None and self.conn.their_state is h11.IDLE:
            self._expect_bytes()
        super().data_received(data)
        if not self._owes_bytes():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait no longer than for headers for the rest of a body that nobody needs."""
        super().on_response_complete()
        if self._deadline is None and self._owes_bytes():
            self._expect_bytes()

    def pause_writing(self) -> None:
        """Watch whether the client reads."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(READER_SECONDS, self._judge_reader)

    def resume_writing(self) -> None:
        """Stop watching."""
        self._stop_watching()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that rests for long, at once if its client has not even read the last answer."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

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
            h11.Data(data=b"" if self._asked_for_headers_only() else bytes(answer.body)),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")

    def _asked_for_headers_only(self) -> bool:
        """Whether the broken part is the body of a HEAD request; h11 lets no answer to that have a body."""
        return self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"

    def _owes_bytes(self) -> bool:
        """Whether headers, or the rest of an answered body, are yet to come; a client may rest between requests."""
        if self.conn.their_state is h11.IDLE:
            return self.cycle is None or bool(self.conn.trailing_data[0])
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def _make_room(self) -> None:
        """Close one that rests, so that probes get through; this one, if all others are busy."""
        others = (cast("BoundedH11Protocol", other) for other in self.connections if other is not self)
        resting = next((one for one in others if one.is_resting and not one.transport.is_closing()), self)
        resting.transport.abort()

    def _judge_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > self._unread - _READER_BYTES:
            self.transport.abort()
            return
        self._unread = left
        self._reading = self.loop.call_later(READER_SECONDS, self._judge_reader)

    def _stop_watching(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _expect_bytes(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def most_connections() -> int:
    """Return how many connections are held: each takes a file, and a few files are needed besides."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, files - _SPARE_FILES))
