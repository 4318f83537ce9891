"""A request's span, under OpenTelemetry's names for HTTP servers."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import Scope

from llmi_server.tracing.spans import CurrentRequest, Tracer, trace_id_of

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
_LONGEST_VALUE = 256


def begin_request(tracer: Tracer | None, scope: Scope, headers: Headers, request_id: str) -> CurrentRequest:
    """Begin a request; without a tracer all that is known is the trace that the client names."""
    if tracer is None:
        return CurrentRequest(request_id=request_id, trace_id=trace_id_of(headers.get("traceparent")))
    method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
    carried = {name: headers[name] for name in ("traceparent", "tracestate") if len(headers.getlist(name)) == 1}
    span = tracer.begin(_name(method), headers=carried, attributes=_attributes(scope, headers, method))
    span.note({"http.response.header.x-request-id": [request_id]})
    return CurrentRequest(
        request_id=request_id,
        trace_id=span.trace_id,
        span_id=span.span_id,
        span=span if span.is_recorded else None,
    )


def end_request(request: CurrentRequest, scope: Scope, status: int) -> None:
    """End a request's span with the status that it is counted under."""
    if request.span is None:
        return
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        request.span.rename(f"{_name(scope['method'])} {route}")
        request.span.note({"http.route": route})
    request.span.note({"http.response.status_code": status})
    request.span.end(error=str(status) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None)


def _attributes(scope: Scope, headers: Headers, method: str) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "url.path": scope["path"][:_LONGEST_VALUE],
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    if scope.get("server"):
        attributes["server.address"] = _plain(scope["server"][0])
        attributes["server.port"] = scope["server"][1] or 0
    if scope.get("client"):
        attributes["client.address"] = _plain(scope["client"][0])
    if "user-agent" in headers:
        attributes["user_agent.original"] = headers["user-agent"][:_LONGEST_VALUE]
    return attributes


def _plain(address: str) -> str:
    """Return an address of version 4 as such, where a socket for both versions has it as one of version 6."""
    return address.removeprefix("::ffff:")


def _name(method: str) -> str:
    return method if method in _METHODS else "HTTP"
