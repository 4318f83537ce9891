"""The results of a batch, handed to the event loop one a turn."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Makes calls in the order they came, and lets the event loop do other work between any two.

    A batch ends for dozens of requests at once. Woken together they would all answer, be sent, and be followed by their
    clients' next requests in the same few turns of the loop, tens of milliseconds long, which a probe of health had to
    sit out. To be used on the loop's own thread.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, call: Callable[[], None]) -> None:
        """Make a call when those before it have been made."""
        self._waiting.append(call)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        call = self._waiting[0]
        try:
            call()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)
