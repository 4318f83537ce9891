"""Log lines: JSON for machines, text for terminals, facts as fields, never what clients sent."""

import json
import logging
import sys
import time
from typing import Any

from llmi_api.launch import LogLevel
from llmi_server.settings import LogFormat


def set_up_logs(level: LogLevel, log_format: LogFormat) -> None:
    """Send every log line of this process to standard error in one format."""
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "asyncio", "transformers", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.root.level))
    if level is not LogLevel.DEBUG:
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of each request that is not HTTP


def facts(**values: object) -> dict[str, dict[str, object]]:
    """Return ``values`` in the form that a log call takes as ``extra``."""
    return {"facts": values}


class JsonLines(logging.Formatter):
    """One JSON object for each line; control characters are escaped by JSON itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """Time, level, sentence and facts in one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        values = "".join(f" {key}={value}" for key, value in getattr(record, "facts", {}).items())
        text = f"{record.getMessage()}{values}".encode("unicode_escape").decode()
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname:<7} {text}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _utc(seconds: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
