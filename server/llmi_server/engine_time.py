"""How long the engine computes: since requests are taken, and in each minute of the last hour."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_MINUTE = 60.0
_KEPT_MINUTES = 60


@dataclass(frozen=True, kw_only=True)
class Busy:
    """How much of a time the engine computed.

    Attributes:
        serving_seconds: Since requests are taken.
        busy_seconds: Of these, how many it computed.
        hour_share: Of the last hour, or of less where there was less.
        minute_share: Of that hour's busiest minute.
    """

    serving_seconds: float
    busy_seconds: float
    hour_share: float
    minute_share: float


class EngineTime:
    """Adds up spans in which the engine computed. All methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.start_anew()

    def start_anew(self) -> None:
        """Forget what was before, which no client asked for."""
        with self._lock:
            self._began = self._clock()
            self._total = 0.0
            self._minutes: dict[int, float] = {}

    def add(self, seconds: float) -> None:
        """Note that the engine has computed for so long until now."""
        with self._lock:
            end = self._clock() - self._began
            begin = max(0.0, end - seconds)
            self._total += end - begin
            first, last = int(begin // _MINUTE), int(end // _MINUTE)
            for minute in range(max(first, last - _KEPT_MINUTES + 1), last + 1):
                spent = min(end, (minute + 1) * _MINUTE) - max(begin, minute * _MINUTE)
                self._minutes[minute] = self._minutes.get(minute, 0.0) + spent
            self._forget_before(last - _KEPT_MINUTES + 1)

    def read(self) -> Busy:
        """Say how much that was."""
        with self._lock:
            now = self._clock() - self._began
            first = max(0, int(now // _MINUTE) - _KEPT_MINUTES + 1)
            self._forget_before(first)
            within = now - first * _MINUTE
            return Busy(
                serving_seconds=now,
                busy_seconds=self._total,
                hour_share=min(1.0, sum(self._minutes.values()) / within) if within > 0 else 0.0,
                minute_share=min(1.0, max(self._minutes.values(), default=0.0) / _MINUTE),
            )

    def _forget_before(self, minute: int) -> None:
        for old in [key for key in self._minutes if key < minute]:
            del self._minutes[old]
