"""Log output: JSON lines in Elastic's common schema for machines, text for people."""

import logging
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

from llmi_api.ecs import EcsLines, trace_fields
from llmi_operator.tracing.spans import current_span

SERVICE_NAME = "llminference-operator"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "settings", "k8s_ref", "k8s_skip"}


class JsonLines(EcsLines):
    """Lines of the schema, with what connects them to the pass that they are about."""

    def fields(self, record: logging.LogRecord) -> Mapping[str, object]:  # noqa: ARG002 - the schema's, for every line
        """Return the ids of the pass and of the call in it."""
        span = current_span()
        return {} if span is None else trace_fields(span.trace_id, span.span_id)

    def facts(self, record: logging.LogRecord) -> Mapping[str, object]:
        """Return what was passed as ``extra``."""
        return _facts(record)


class Text(logging.Formatter):
    """One line to read, with the facts at its end."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        facts = " ".join(f"{key}={value}" for key, value in _facts(record).items())
        return f"{super().format(record)}  {facts}".rstrip()


def set_up_logging(
    level: str, style: Literal["auto", "json", "text"], stream: TextIO = sys.stderr, *, service: str = SERVICE_NAME
) -> None:
    """Send all logs to one stream in one style."""
    text = style == "text" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Text("%(asctime)s %(levelname)-7s %(message)s") if text else JsonLines(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # One line for each event of each object, of no use to anybody.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    if level != "debug":
        for name in ("kopf.activities", "kopf._core", "kopf._cogs"):
            logging.getLogger(name).setLevel(logging.WARNING)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
