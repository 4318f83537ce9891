"""Log output: JSON lines for machines, text for people."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "settings", "k8s_ref", "k8s_skip"}


class JsonLines(logging.Formatter):
    """One JSON object a line; facts passed as ``extra`` become fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Text(logging.Formatter):
    """One line to read, with the facts at its end."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        facts = " ".join(f"{key}={value}" for key, value in _facts(record).items())
        return f"{super().format(record)}  {facts}".rstrip()


def set_up_logging(level: str, style: Literal["auto", "json", "text"], stream: TextIO = sys.stderr) -> None:
    """Send all logs to one stream in one style."""
    text = style == "text" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Text("%(asctime)s %(levelname)-7s %(message)s") if text else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # One line for each event of each object, of no use to anybody.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    if level != "debug":
        for name in ("kopf.activities", "kopf._core", "kopf._cogs"):
            logging.getLogger(name).setLevel(logging.WARNING)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
