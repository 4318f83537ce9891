"""Trying again, a bounded number of times."""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.logs import facts
from llmi_server.model.hub import RetryableError

_LONGEST_WAIT_SECONDS = 20.0
_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True, kw_only=True)
class Retrying:
    """How often and how patiently to try again.

    Attributes:
        attempts: Tries without progress.
        first_wait_seconds: Wait before the second try; doubles each time, with some chance in it.
        stopped: Ends all waits, when another part has failed for good.
    """

    attempts: int
    first_wait_seconds: float
    stopped: threading.Event = field(default_factory=threading.Event)

    def call(self, work: Callable[[], _ResultT], *, progress: Callable[[], int] = lambda: 0) -> _ResultT:
        """Return what ``work`` returns, trying again when the hub does not answer properly.

        Args:
            work: What to try.
            progress: A number that grows when a failed try got somewhere; then the count of tries begins anew.

        Raises:
            StartupError: ``work`` raised it, or no try was left.
        """
        failures, reached = 0, progress()
        while True:
            try:
                return work()
            except RetryableError as error:
                if progress() > reached:
                    failures, reached = 0, progress()
                failures += 1
                if failures >= self.attempts or self.stopped.is_set():
                    raise _unreachable(error, failures) from None
                wait = self._wait_seconds(error, failures)
                _log().warning("Trying again", extra=facts(cause=str(error), attempt=failures, seconds=round(wait, 2)))
                self.stopped.wait(wait)

    def _wait_seconds(self, error: RetryableError, failures: int) -> float:
        if error.wait_seconds is not None:
            return error.wait_seconds
        wait: float = min(self.first_wait_seconds * 2 ** (failures - 1), _LONGEST_WAIT_SECONDS)
        spread: float = wait * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, keeps no secret
        return spread


def _unreachable(error: RetryableError, failures: int) -> StartupError:
    return StartupError(
        FailureCode.HUB_UNREACHABLE,
        f"Gave up after {failures} tries without progress: {error}",
        next_step="Check the network, proxy and policy between the pod and the hub, or set spec.model.endpoint.",
    )


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
