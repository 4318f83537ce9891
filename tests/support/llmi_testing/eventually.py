"""Waits for something to become true, with a deadline: tests never just sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
POLL_SECONDS = 0.1


def eventually(look: Callable[[], Result], what: str = "it is true", *, seconds: float = 40.0) -> Result:
    """Call until it gives something true and raises no AssertionError; the last failure is raised at the deadline.

    ``what`` says in the failure what was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            result = look()
            if result or time.monotonic() > deadline:
                assert result, f"not within {seconds:.0f} s: {what}; seen last: {result!r}"
                return result
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def throughout(look: Callable[[], object], *, seconds: float, every: float = POLL_SECONDS) -> None:
    """Assert that something stays true for a while, looking every so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert look()
        time.sleep(every)
