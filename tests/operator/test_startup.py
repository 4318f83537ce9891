"""What the operator's start-up puts in place."""

import asyncio
import logging

import pytest
from aiohttp import ClientConnectionError

from llmi_operator.settings import OperatorSettings
from llmi_operator.startup import Context, _on_loop_error


@pytest.fixture
def make_lines(caplog):
    """Return what is logged as an error when a task that nobody awaits ends with an error."""

    def make(error, *, stopping):
        async def run():
            context = Context(OperatorSettings(), asyncio.Event())
            if stopping:
                context.stop.set()
            _on_loop_error(context, asyncio.get_running_loop(), {"message": "never retrieved", "exception": error})

        asyncio.run(run())
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]

    return make


def test_a_connection_that_closes_because_the_operator_stops_is_no_error(make_lines):
    assert make_lines(ClientConnectionError("Connection closed"), stopping=True) == []


def test_a_connection_that_closes_while_the_operator_runs_is_an_error(make_lines):
    assert make_lines(ClientConnectionError("Connection closed"), stopping=False)


def test_any_other_failure_is_an_error_also_while_the_operator_stops(make_lines):
    assert make_lines(ValueError("a flaw"), stopping=True)
