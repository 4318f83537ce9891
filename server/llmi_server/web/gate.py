"""The one middleware around everything: request id, access, draining, accounting, last-resort errors."""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmi_api.readiness import Stage
from llmi_server.errors import DrainingError, RequestError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.logs import ecs
from llmi_server.telemetry import OPERATIONS, Telemetry
from llmi_server.tracing.spans import CurrentRequest, Tracer, exemplar_of, working_for
from llmi_server.web.access import EXEMPT_PATHS, ApiKeys
from llmi_server.web.error_responses import count_rejection, internal_error, to_response
from llmi_server.web.held_bodies import HeldBodies, HeldBody
from llmi_server.web.page_routes import is_for_the_page
from llmi_server.web.request_id import choose_request_id
from llmi_server.web.request_span import begin_request, end_request

_OPEN_WHILE_DRAINING = EXEMPT_PATHS | {"/status"}
_CLIENT_GONE = 499
"""The code under which requests are counted whose client left; nobody sees it."""


class Gate:
    """Wraps the whole application, so that nothing can be reached around it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        lifecycle: Lifecycle,
        telemetry: Telemetry,
        keys: ApiKeys | None,
        bodies: HeldBodies,
        tracer: Tracer | None = None,
    ) -> None:
        self._app = app
        self._bodies = bodies
        self._lifecycle = lifecycle
        self._telemetry = telemetry
        self._keys = keys
        self._tracer = tracer
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event; only HTTP is spoken."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = choose_request_id(headers.get("x-request-id"))
        counted = scope["path"] not in EXEMPT_PATHS
        traced = counted and not is_for_the_page(scope, headers)
        request = begin_request(self._tracer if traced else None, scope, headers, request_id)
        with working_for(request):
            await self._answer(scope, receive, send, headers, request, counted=counted)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, request: CurrentRequest, *, counted: bool
    ) -> None:
        body = HeldBody(receive, self._bodies)
        outcome = _Outcome(send, request.request_id, closing=self._is_draining, on_start=body.release)
        began = time.monotonic()
        self.in_flight += counted
        try:
            await self._guarded(scope, body.receive, outcome, headers)
        except ClientDisconnect:
            outcome.status = _CLIENT_GONE
        except Exception:
            logging.getLogger(__name__).exception("Request failed")
            if not outcome.started:
                await internal_error()(scope, receive, outcome.send)
        finally:
            self.in_flight -= counted
            body.release()
            if counted:
                self._account(scope, request, outcome.status, time.monotonic() - began)

    async def _guarded(self, scope: Scope, receive: Receive, outcome: "_Outcome", headers: Headers) -> None:
        try:
            self._refuse_strangers(scope, headers)
            if self._is_draining() and scope["path"] not in _OPEN_WHILE_DRAINING:
                raise DrainingError("The server is shutting down. Try another replica.")
        except RequestError as error:
            count_rejection(error, self._telemetry)
            await to_response(error, scope["path"])(scope, receive, outcome.send)
            return
        await self._app(scope, receive, outcome.send)

    def _is_draining(self) -> bool:
        return self._lifecycle.stage is Stage.DRAINING

    def _refuse_strangers(self, scope: Scope, headers: Headers) -> None:
        open_to_all = scope["path"] in EXEMPT_PATHS or is_for_the_page(scope, headers)
        if self._keys is not None and not open_to_all:
            offered = headers.getlist("authorization")
            self._keys.check(offered[0] if len(offered) == 1 else None)

    def _account(self, scope: Scope, request: CurrentRequest, status: int, seconds: float) -> None:
        state = scope.get("state", {})
        status = state.get("status", status)
        operation = state.get("operation", "other")
        operation = operation if operation in OPERATIONS else "other"
        self._telemetry.request_done(
            operation=operation, code=status, seconds=seconds, exemplar=exemplar_of(request.span)
        )
        end_request(request, scope, status)
        logging.getLogger(__name__).debug(
            "Request done",
            extra=ecs(
                {
                    "http.request.method": scope["method"],
                    "http.response.status_code": status,
                    "url.path": scope["path"],
                    "event.duration": round(seconds * 1e9),
                    "event.outcome": "success" if status < HTTPStatus.BAD_REQUEST else "failure",
                },
                operation=operation,
            ),
        )


class _Outcome:
    """Notes the status that went out, and adds the headers that every answer has."""

    def __init__(
        self, send: Send, request_id: str, *, closing: Callable[[], bool], on_start: Callable[[], None]
    ) -> None:
        self._send = send
        self._on_start = on_start
        self._request_id = request_id
        self._closing = closing
        self.status = 500
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.started = message["status"], True
            self._on_start()
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._request_id
            if self._closing():
                headers["connection"] = "close"
        await self._send(message)
