"""How a fetch is going: counted, shown as a line every two seconds or a bar on a terminal, and told on ``/readyz``."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping

from llmi_api.readiness import ReadinessReport, Stage
from llmi_server.logs import facts

_INTERVAL_SECONDS = 2.0
_MEGABYTE = 1_000_000


class Progress:
    """Counts bytes from several threads, and the time of each phase.

    Attributes:
        received_bytes: What came over the network.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phase, self._phase_began = "resolve", time.monotonic()
        self._phase_seconds: dict[str, float] = {}
        self._total: int | None = None
        self._done = 0
        self._by_precision: dict[str, int] = {}
        self._weights: dict[str, int] = {}
        self.received_bytes = 0

    def enter(self, phase: str) -> None:
        """Note that a phase begins and the one before ended."""
        with self._lock:
            self._phase_seconds[self._phase] = round(time.monotonic() - self._phase_began, 3)
            self._phase, self._phase_began = phase, time.monotonic()

    def predict(self, by_precision: Mapping[str, int], weights: Mapping[str, int]) -> None:
        """Note what memory the model will take in each precision, and its weights of that."""
        with self._lock:
            self._by_precision, self._weights = dict(by_precision), dict(weights)

    def expect(self, total_bytes: int) -> None:
        """Note how much there is to fetch, which begins now."""
        self.enter("download")
        with self._lock:
            self._total, self._done, self.received_bytes = total_bytes, 0, 0

    def found(self, count: int) -> None:
        """Note bytes that an earlier run left."""
        with self._lock:
            self._done += count

    def received(self, count: int) -> None:
        """Note bytes that came over the network."""
        with self._lock:
            self._done += count
            self.received_bytes += count

    def dropped(self, count: int) -> None:
        """Note bytes that were thrown away."""
        with self._lock:
            self._done -= count

    @property
    def done_bytes(self) -> int:
        """Bytes on disk by now."""
        return self._done

    @property
    def total_bytes(self) -> int:
        """Bytes to fetch in all, 0 before that is known."""
        return self._total or 0

    def report(self) -> ReadinessReport:
        """Return what ``/readyz`` says."""
        with self._lock:
            counting = self._total is not None
            return ReadinessReport(
                stage=Stage.FETCHING,
                phase=self._phase,
                done_bytes=max(self._done, 0) if counting else None,
                total_bytes=self._total,
                bytes_per_second=round(self._rate()) if counting else None,
                phase_seconds=dict(self._phase_seconds),
                predicted_by_precision=self._by_precision,
                weights_by_precision=self._weights,
            )

    def describe(self) -> dict[str, object]:
        """Return bytes, speed and the time that is left, as facts for a log line."""
        with self._lock:
            rate, done, total = self._rate(), self._done, self._total or 0
        return {
            "bytes": done,
            "total_bytes": total,
            "megabytes_per_second": round(rate / _MEGABYTE, 1),
            "eta_seconds": round((total - done) / rate) if rate > 0 else None,
        }

    def _rate(self) -> float:
        """Bytes a second over the network since the download began."""
        return self.received_bytes / max(time.monotonic() - self._phase_began, 1e-6)


@contextlib.contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show progress while the block runs."""
    ended = threading.Event()
    show = _show_bar if sys.stderr.isatty() else _log_lines
    thread = threading.Thread(target=show, args=(progress, ended), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _log_lines(progress: Progress, ended: threading.Event) -> None:
    while not ended.wait(_INTERVAL_SECONDS):
        logging.getLogger(__name__).info("Fetching", extra=facts(**progress.describe()))


def _show_bar(progress: Progress, ended: threading.Event) -> None:
    try:
        from rich.console import Console  # noqa: PLC0415 - for terminals only; images may lack it
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415
        from rich.progress import Progress as Bars  # noqa: PLC0415
    except ImportError:
        _log_lines(progress, ended)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("fetch", total=progress.total_bytes)
        while not ended.wait(0.1):
            bars.update(bar, completed=progress.done_bytes)
