"""Log lines: JSON in Elastic's common schema for machines, text for terminals; never what clients sent."""

import logging
import sys
import time
from collections.abc import Mapping

from llmi_api.ecs import EcsLines, trace_fields
from llmi_api.failure import Failure
from llmi_api.launch import LogLevel
from llmi_server.settings import LogFormat
from llmi_server.tracing.spans import CurrentRequest, current_request

SERVICE_NAME = "llminference-server"


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


class JsonLines(EcsLines):
    """Lines of the schema, with what connects them to the request that they are about."""

    def __init__(self) -> None:
        super().__init__(SERVICE_NAME)

    def fields(self, record: logging.LogRecord) -> Mapping[str, object]:
        """Return the request's ids, and what the call named in the schema's words."""
        given: Mapping[str, object] = getattr(record, "ecs", {})
        return {**_request_fields(current_request()), **given}

    def facts(self, record: logging.LogRecord) -> Mapping[str, object]:
        """Return what the call told beside that."""
        found: Mapping[str, object] = getattr(record, "facts", {})
        return found


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
    return {"http.request.id": request.request_id, **trace_fields(request.trace_id, request.span_id)}
