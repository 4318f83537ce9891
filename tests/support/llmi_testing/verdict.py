"""What is wrong with an answer, whatever the request was."""

import json
from collections.abc import Collection, Mapping

from llmi_server.web.access import EXEMPT_PATHS

_FIELDS = {"message", "type", "param", "code"}
_LONGEST_ERROR = 1500


def fault_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    path: str,
    method: str = "POST",
    meant: Collection[int] = (),
) -> str | None:
    """Return what is wrong with an answer, or None: errors are in their API's shape, and none is a mistake of ours.

    Args:
        status: Its status.
        headers: Its headers, names in lower case.
        body: Its body.
        path: The path that was asked; the empty text where nobody knows.
        method: The method; answers to HEAD have no body.
        meant: Statuses from 500 up that are no mistake here, such as 503 while draining.
    """
    if not 200 <= status < 600:
        return f"{status} is no status of an answer"
    if status >= 500 and status not in meant:
        return f"a status of {status}: {body[:300]!r}"
    if status < 400 or method == "HEAD" or path in EXEMPT_PATHS or path.startswith("/v2/health"):
        return None
    if status in (429, 503) and int(headers.get("retry-after", "0")) < 1:
        return f"a {status} without Retry-After"
    if "x-request-id" not in headers:
        return "no request id"
    return _fault_of_error(body, kserve=path.startswith("/v2/"), known=bool(path))


def _fault_of_error(body: bytes, *, kserve: bool, known: bool) -> str | None:
    if len(body) > _LONGEST_ERROR:
        return f"an error of {len(body)} bytes"
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"an error that is none: {body[:300]!r}"
    if isinstance(error, str) and error and (kserve or not known):
        return None
    if isinstance(error, dict) and set(error) == _FIELDS and error["message"] and (not kserve or not known):
        return None
    return f"an error in another API's shape: {body[:300]!r}"
