import io
import json
import logging

import pytest

from llmi_operator.logs import set_up_logging


@pytest.fixture(autouse=True)
def _untouched_logging(monkeypatch):
    # Otherwise pytest's own handlers are removed, for all tests that follow.
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)


def test_json_lines_carry_the_facts_as_fields():
    stream = io.StringIO()
    set_up_logging("info", "auto", stream)
    logging.getLogger("x").info("Applied child", extra={"kind": "Service"})
    line = json.loads(stream.getvalue())
    assert (line["log.level"], line["message"], line["llmi"]["kind"]) == ("info", "Applied child", "Service")


def test_an_exception_stays_on_its_line():
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    try:
        int("no")
    except ValueError:
        logging.getLogger("x").exception("Failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["error.stack_trace"]


def test_text_ends_with_the_facts():
    stream = io.StringIO()
    set_up_logging("info", "text", stream)
    logging.getLogger("x").warning("Applied child", extra={"kind": "Service"})
    assert stream.getvalue().rstrip().endswith("WARNING Applied child  kind=Service")
