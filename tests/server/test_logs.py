"""Log lines are one line each, whatever is in them."""

import json
import logging

import pytest

from llmi_server.logs import JsonLines, TextLines, facts

EVIL = "a\r\nfake line \x1b[31mred\u2028b"


def record(**values):
    made = logging.makeLogRecord({"msg": "Did %s", "args": ("it",), "levelname": "INFO", "name": "x", "created": 0.5})
    vars(made).update(facts(**values))
    return made


def test_a_json_line_holds_sentence_and_facts():
    line = json.loads(JsonLines().format(record(port=1)))
    assert (line["message"], line["port"], line["level"], line["time"]) == (
        "Did it", 1, "info", "1970-01-01T00:00:00.500Z"
    )  # fmt: skip


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_control_characters_are_escaped(formatter):
    line = formatter.format(record(id=EVIL))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_a_traceback_is_kept():
    made = record()
    made.exc_info = (ValueError, ValueError("why"), None)
    assert "why" in json.loads(JsonLines().format(made))["traceback"]
