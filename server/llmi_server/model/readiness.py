"""``GET /readyz`` while a model is fetched: the standard library's server on a thread, and no harm if it cannot be."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

from llmi_api.readiness import ReadinessReport
from llmi_server.errors import StartupError
from llmi_server.listening import open_listener
from llmi_server.logs import facts
from llmi_server.settings import EVERYWHERE

_CLIENT_SECONDS = 2.0
"""Patience with a client; there is one thread for all."""


@contextlib.contextmanager
def answered(report: Callable[[], ReadinessReport], port: int) -> Iterator[int | None]:
    """Answer ``/readyz`` with ``report`` and status 503 while the block runs.

    Yields:
        The port, or None if it could not be had; that is only logged.
    """
    try:
        server = _Server(open_listener(EVERYWHERE, port), _handler(report))
    except StartupError as error:
        _log().warning("Progress is not told on /readyz", extra=facts(port=port, cause=str(error)))
        yield None
        return
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="readyz", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Server(HTTPServer):
    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no event."""


def _handler(report: Callable[[], ReadinessReport]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_SECONDS
        server_version, sys_version = "llmi", ""

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/readyz"
            body = report().model_dump_json(exclude_none=True).encode() if found else b"{}"
            self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.NOT_FOUND)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.send_header("retry-after", "5")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the base class's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
            """Probes are no news."""

    return Handler


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
