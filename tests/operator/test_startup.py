"""What the operator's start-up puts in place."""

import asyncio
import logging
from functools import partial

import kopf
import pytest
from aiohttp import ClientConnectionError
from kopf._cogs.clients import watching

from llmi_operator.settings import OperatorSettings
from llmi_operator.startup import Context, _on_loop_error


@pytest.fixture
def make_lines(caplog):
    """Return what is logged as an error of what happens on the operator's loop, or when that loop ends."""

    def make(happen, *arguments, stopping):
        async def run():
            context = Context(OperatorSettings(), asyncio.Event())
            if stopping:
                context.stop.set()
            asyncio.get_running_loop().set_exception_handler(partial(_on_loop_error, context))
            await happen(*arguments)

        asyncio.run(run())
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]

    return make


async def leave_unretrieved(error):
    """A task that nobody awaits ends with an error."""
    asyncio.get_running_loop().call_exception_handler({"message": "never retrieved", "exception": error})


def test_a_connection_that_closes_because_the_operator_stops_is_no_error(make_lines):
    assert make_lines(leave_unretrieved, ClientConnectionError("Connection closed"), stopping=True) == []


def test_a_connection_that_closes_while_the_operator_runs_is_an_error(make_lines):
    assert make_lines(leave_unretrieved, ClientConnectionError("Connection closed"), stopping=False)


def test_any_other_failure_is_an_error_also_while_the_operator_stops(make_lines):
    assert make_lines(leave_unretrieved, ValueError("a flaw"), stopping=True)


class ClosedBefore:
    """What kopf wraps a watch in, ended by the loop before the watch itself; which comes first is up to chance."""

    async def __aenter__(self):
        return asyncio.get_running_loop().create_future()

    async def __aexit__(self, *_):
        raise RuntimeError("generator didn't stop after athrow()")


@pytest.fixture
def watch(monkeypatch):
    """A watch of kopf's, its connection replaced by events without end: a real one is seldom stopped in an event."""

    async def events(**_):
        while True:
            yield {"type": "ADDED"}

    monkeypatch.setattr(watching, "continuous_watch", events)
    monkeypatch.setattr(watching, "streaming_block", lambda **_: ClosedBefore())
    return watching.infinite_watch(settings=kopf.OperatorSettings(), resource="pods", namespace=None)


def test_a_watch_that_is_stopped_in_the_middle_of_an_event_is_no_error(watch, make_lines):
    assert make_lines(anext, watch, stopping=True) == []


def test_a_watch_that_breaks_while_the_operator_runs_is_an_error(watch, make_lines):
    assert make_lines(anext, watch, stopping=False)


def test_a_generator_of_our_own_that_fails_to_close_is_an_error_also_while_the_operator_stops(make_lines):
    async def fail_to_close():
        try:
            yield 1
        finally:
            raise ValueError("a flaw")

    generator = fail_to_close()  # held, or it would be closed before the loop ends
    assert make_lines(anext, generator, stopping=True)
