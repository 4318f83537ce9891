"""The page to try the model by hand: plain files, no outside assets, nothing about the model without a key."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from llmi_server.errors import MethodNotAllowedError, UnknownRouteError

PREFIX = "/page/"
_START = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
    "vary": "accept",
}
"""The page may load and call this server only, and stands in no other's frame."""


def is_for_the_page(scope: Scope, headers: Headers) -> bool:
    """Say whether a browser asks for the page or a part of it, which needs no key: it asks for the key itself."""
    if scope["method"] not in {"GET", "HEAD"}:
        return False
    path: str = scope["path"]
    return path.startswith(PREFIX) or (path == "/" and _wants_html(headers.get("accept")))


def page_routes() -> APIRouter:
    """Return the routes of the page; API clients that GET the root get the answer that they have always got."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in (Path(__file__).parent / "page").iterdir()}

    @router.api_route("/", methods=["GET", "HEAD"])
    async def show_page(request: Request) -> Response:
        if not _wants_html(request.headers.get("accept")):
            raise MethodNotAllowedError("This route takes POST; a browser gets a page.", allow="POST")
        request.state.operation = "page"
        return _file(_START, files[_START])

    @router.api_route(PREFIX + "{name}", methods=["GET", "HEAD"])
    async def show_part(name: str, request: Request) -> Response:
        if name not in files:
            raise UnknownRouteError("The page has no such part.")
        request.state.operation = "page"
        return _file(name, files[name])

    return router


def _file(name: str, content: bytes) -> Response:
    return Response(content, headers=_HEADERS, media_type=_TYPES[Path(name).suffix])


def _wants_html(accept: str | None) -> bool:
    """Say whether HTML is named among what is accepted; ``*/*`` names nothing."""
    kinds = (part.split(";") for part in (accept or "").lower().split(","))
    return any(kind.strip() == "text/html" and "q=0" not in map(str.strip, rest) for kind, *rest in kinds)
