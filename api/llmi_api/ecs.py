"""Log lines as JSON in the Elastic Common Schema: the same fields from both programs, for one search over all."""

import json
import logging
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

ECS_VERSION = "8.17.0"
OWN_NAMESPACE = "llmi"
"""Our own facts live under this name, so that none collides with a field that the schema defines otherwise."""


class EcsLines(logging.Formatter):
    """One JSON object for each line; control characters are escaped by JSON itself."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        self._version = version("llminference")

    def fields(self, record: logging.LogRecord) -> Mapping[str, object]:  # noqa: ARG002 - for those who know more
        """Return what the line says under the schema's names beside its sentence."""
        return {}

    def facts(self, record: logging.LogRecord) -> Mapping[str, object]:  # noqa: ARG002 - likewise
        """Return facts of our own."""
        return {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "@timestamp": _utc(record.created),
            "log.level": record.levelname.lower(),
            "message": record.getMessage(),
            "ecs.version": ECS_VERSION,
            "service.name": self._service,
            "service.version": self._version,
            "log.logger": record.name,
            **self.fields(record),
        }
        if found := self.facts(record):
            line[OWN_NAMESPACE] = found
        if record.exc_info and record.exc_info[0] is not None:
            line["error.type"] = record.exc_info[0].__name__
            line["error.message"] = str(record.exc_info[1])
            line["error.stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def trace_fields(trace_id: str | None, span_id: str | None) -> dict[str, str]:
    """Return what connects a line with a trace and with a piece of work in it, as far as they are known."""
    fields = {} if trace_id is None else {"trace.id": trace_id}
    if span_id is not None:
        fields |= {"span.id": span_id, "transaction.id": span_id}
    return fields


def _utc(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
