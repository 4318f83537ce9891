"""A replica on a loopback address, as far as the operator asks it."""

import http.server
import json
import threading
from typing import Any

from llmi_api.launch import HTTP_PORT


class PretendReplica:
    """Answers GET /readyz with whatever the test says."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answer: tuple[int, Any] = (503, {})
        self.asked = 0
        replica = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                replica.asked += 1
                status, body = replica.answer
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", raw.decode())
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((address, HTTP_PORT), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
