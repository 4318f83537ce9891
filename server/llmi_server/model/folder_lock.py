"""A lock between pods that share a volume: a file that its holder keeps touching.

Kernel locks are not to be had on every network volume, or outlive their holder there; creating a file exclusively
works on all. A holder that was killed leaves the file behind, so one that has not been touched for a while, by the
waiter's own clock, is taken away. Clocks of different machines are never compared.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from llmi_server.logs import facts

_LIFE = uuid.uuid4().hex
"""This process; a restarted container has the same host name and process id as before."""

_Sight = tuple[str, int]
"""Content and time of change of a lock file."""


class FolderLock:
    """One holder's view of a lock.

    Attributes:
        lost: Set when another took the lock away, because this process stood still for too long.
    """

    def __init__(
        self, path: Path, *, touch_seconds: float = 5.0, stale_seconds: float = 60.0, poll_seconds: float = 1.0
    ) -> None:
        self._path = path
        self._touch_seconds = touch_seconds
        self._stale_seconds = stale_seconds
        self._poll_seconds = poll_seconds
        self._place = f"{socket.gethostname()}/{os.getpid()}"
        self._token = f"{self._place} {_LIFE} {uuid.uuid4().hex}"
        self._released = threading.Event()
        self.lost = threading.Event()

    def acquire(self, *, unless: Callable[[], bool], on_lost: Callable[[], None]) -> bool:
        """Wait for the lock.

        Args:
            unless: Ends the wait when true: what the lock is wanted for is done.
            on_lost: Called from another thread when the lock was taken away.

        Returns:
            Whether the lock is held now.
        """
        seen, since = None, time.monotonic()
        while not unless():
            if self._create():
                threading.Thread(target=self._keep, args=(on_lost,), name="lock", daemon=True).start()
                return True
            now = self._sight()
            if now != seen:
                if seen is None and now is not None:
                    _log().info("Another replica fetches this model, waiting", extra=facts(holder=now[0].split()[:1]))
                seen, since = now, time.monotonic()
            if now is not None and self._is_stale(now, time.monotonic() - since):
                self._take_away(now)
            time.sleep(self._poll_seconds)
        return False

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self._released.set()
        if self._is_ours():
            self._path.unlink(missing_ok=True)

    def _is_stale(self, seen: _Sight, unchanged_seconds: float) -> bool:
        """Say whether the holder is gone: it was this very place in an earlier life, or it does not touch the file."""
        place, life, *_ = [*seen[0].split(), "", ""]
        return (place == self._place and life != _LIFE) or unchanged_seconds > self._stale_seconds

    def _create(self) -> bool:
        try:
            with self._path.open("x", encoding="utf-8") as handle:
                handle.write(self._token)
        except FileExistsError:
            return False
        return True

    def _sight(self) -> _Sight | None:
        """Opening makes network volumes ask their server for the file's real state."""
        try:
            with self._path.open(encoding="utf-8", errors="replace") as handle:
                return handle.read(), os.fstat(handle.fileno()).st_mtime_ns
        except OSError:
            return None

    def _is_ours(self) -> bool:
        seen = self._sight()
        return seen is not None and seen[0] == self._token

    def _keep(self, on_lost: Callable[[], None]) -> None:
        while not self._released.wait(self._touch_seconds):
            if not self._is_ours():
                if not self._released.is_set():
                    self.lost.set()
                    on_lost()
                return
            try:
                os.utime(self._path)
            except OSError as error:
                _log().warning("The lock cannot be touched", extra=facts(cause=error.strerror))

    def _take_away(self, seen: _Sight) -> None:
        """Move the file aside first: of several waiters one succeeds, and it sees whether it took what it meant."""
        grave = self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex}")
        try:
            self._path.rename(grave)
            if grave.read_text(encoding="utf-8", errors="replace") != seen[0]:
                os.link(grave, self._path)
            else:
                _log().warning("Took over from a replica that stopped", extra=facts(holder=seen[0].split()[:1]))
        except OSError:
            _log().debug("The lock was gone already", exc_info=True)
        grave.unlink(missing_ok=True)


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
