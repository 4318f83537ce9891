"""Log lines: JSON in Elastic's common schema for machines, text for terminals; never what clients sent."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from llmi_api.failure import Failure
from llmi_api.launch import LogLevel
from llmi_server.settings import LogFormat
from llmi_server.tracing.spans import CurrentRequest, current_request

ECS_VERSION = "8.17.0"
SERVICE_NAME = "llminference-server"
_NAMESPACE = "llmi"
"""Our own facts live under this name, so that none collides with a field that the schema defines otherwise."""


def set_up_logs(level: LogLevel, log_format: LogFormat) -> None:
    """Send every log line of this process to standard error in one format."""
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "asyncio", "urllib3", "transformers", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.root.level))
    if level is not LogLevel.DEBUG:
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of each request that is not HTTP


def facts(**values: object) -> dict[str, dict[str, object]]:
    """Return ``values`` in the form that a log call takes as ``extra``."""
    return {"facts": values}


def ecs(fields: Mapping[str, object], **values: object) -> dict[str, dict[str, object]]:
    """Return fields under the schema's own names, and other facts, in the form that a log call takes as ``extra``."""
    return {"ecs": dict(fields), "facts": values}


def failing(failure: Failure) -> dict[str, dict[str, object]]:
    """Return a failure in the form that a log call takes as ``extra``: at the top, where the operator looks for it."""
    return {"ecs": failure.model_dump(mode="json")}


class JsonLines(logging.Formatter):
    """One JSON object for each line; control characters are escaped by JSON itself."""

    def __init__(self) -> None:
        super().__init__()
        self._version = version("llminference")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "@timestamp": _utc(record.created),
            "log.level": record.levelname.lower(),
            "message": record.getMessage(),
            "ecs.version": ECS_VERSION,
            "service.name": SERVICE_NAME,
            "service.version": self._version,
            "log.logger": record.name,
        }
        line |= _request_fields(current_request())
        line |= getattr(record, "ecs", {})
        if found := getattr(record, "facts", None):
            line[_NAMESPACE] = found
        if record.exc_info and record.exc_info[0] is not None:
            line["error.type"] = record.exc_info[0].__name__
            line["error.message"] = str(record.exc_info[1])
            line["error.stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """Time, level, sentence and facts in one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        found = getattr(record, "ecs", {}) | getattr(record, "facts", {})
        if (request := current_request()) is not None:
            found = {"request": request.request_id, **found}
        values = "".join(f" {key}={value}" for key, value in found.items())
        text = f"{record.getMessage()}{values}".encode("unicode_escape").decode()
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname:<7} {text}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _request_fields(request: CurrentRequest | None) -> dict[str, str]:
    """Return what connects a line with its request, its client's trace and our span."""
    if request is None:
        return {}
    fields = {"http.request.id": request.request_id}
    if request.trace_id is not None:
        fields["trace.id"] = request.trace_id
    if request.span_id is not None:
        fields |= {"span.id": request.span_id, "transaction.id": request.span_id}
    return fields


def _utc(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
