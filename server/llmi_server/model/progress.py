"""How a fetch is going: a line every two seconds, or a bar on a terminal."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator

from llmi_server.logs import facts

_INTERVAL_SECONDS = 2.0
_MEGABYTE = 1_000_000


class Progress:
    """Counts bytes from several threads."""

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        self._done = 0
        self._began_with: int | None = None
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Note bytes that were added, or thrown away if negative."""
        with self._lock:
            self._done += count

    @property
    def done_bytes(self) -> int:
        """Bytes on disk by now."""
        return self._done

    def describe(self) -> dict[str, object]:
        """Return bytes, speed and the time that is left, as facts for a log line."""
        seconds = max(time.monotonic() - self._began, 1e-6)
        rate = self._done / seconds
        left = round((self._total - self._done) / rate) if rate > 0 else None
        return {
            "bytes": self._done,
            "total_bytes": self._total,
            "megabytes_per_second": round(rate / _MEGABYTE, 1),
            "eta_seconds": left,
        }


@contextlib.contextmanager
def shown(progress: Progress, total_bytes: int) -> Iterator[None]:
    """Show progress while the block runs."""
    ended = threading.Event()
    show = _show_bar if sys.stderr.isatty() else _log_lines
    thread = threading.Thread(target=show, args=(progress, total_bytes, ended), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _log_lines(progress: Progress, total_bytes: int, ended: threading.Event) -> None:
    _ = total_bytes
    while not ended.wait(_INTERVAL_SECONDS):
        logging.getLogger(__name__).info("Fetching", extra=facts(**progress.describe()))


def _show_bar(progress: Progress, total_bytes: int, ended: threading.Event) -> None:
    try:
        from rich.console import Console  # noqa: PLC0415 - for terminals only; images may lack it
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415
        from rich.progress import Progress as Bars  # noqa: PLC0415
    except ImportError:
        _log_lines(progress, total_bytes, ended)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("fetch", total=total_bytes)
        while not ended.wait(0.1):
            bars.update(bar, completed=progress.done_bytes)
