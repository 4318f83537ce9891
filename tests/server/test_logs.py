"""Log lines are one line each, whatever is in them."""

import json
import logging

import pytest

from llmi_api.failure import Failure, FailureCode
from llmi_server.logs import JsonLines, TextLines, facts, failing
from llmi_server.tracing.spans import CurrentRequest, working_for

EVIL = "a\r\nfake line \x1b[31mred\u2028b"


def record(**values):
    made = logging.makeLogRecord({"msg": "Did %s", "args": ("it",), "levelname": "INFO", "name": "x", "created": 0.5})
    vars(made).update(facts(**values))
    return made


def test_a_json_line_holds_sentence_and_facts():
    line = json.loads(JsonLines().format(record(port=1)))
    assert (line["message"], line["llmi"], line["log.level"], line["@timestamp"]) == (
        "Did it", {"port": 1}, "info", "1970-01-01T00:00:00.500Z"
    )  # fmt: skip


def test_a_json_line_is_what_elastics_schema_requires():
    line = json.loads(JsonLines().format(record(port=1)))
    assert set(line) == {
        *("@timestamp", "log.level", "message", "ecs.version", "service.name", "service.version", "log.logger", "llmi")
    }
    assert line["ecs.version"].startswith("8.")


def test_a_line_of_a_request_carries_its_ids():
    request = CurrentRequest(request_id="r", trace_id="t" * 32, span_id="s" * 16)
    with working_for(request):
        line = json.loads(JsonLines().format(record()))
        text = TextLines().format(record())
    assert (line["http.request.id"], line["trace.id"]) == ("r", "t" * 32)
    assert line["span.id"] == line["transaction.id"] == "s" * 16
    assert "request=r" in text
    assert not {"http.request.id", "trace.id"} & set(json.loads(JsonLines().format(record())))


def test_a_failure_stands_at_the_top_of_its_line():
    failure = Failure(code=FailureCode.DISK_FULL, message="Full.", next="Make room.")
    made = logging.makeLogRecord({"msg": "Gave up"})
    vars(made).update(failing(failure))
    line = json.loads(JsonLines().format(made))
    assert (line["code"], line["message"], line["next"]) == ("DiskFull", "Full.", "Make room.")


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_control_characters_are_escaped(formatter):
    line = formatter.format(record(id=EVIL))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_a_traceback_is_kept():
    made = record()
    made.exc_info = (ValueError, ValueError("why"), None)
    line = json.loads(JsonLines().format(made))
    assert (line["error.type"], line["error.message"]) == ("ValueError", "why")
    assert "why" in line["error.stack_trace"]
