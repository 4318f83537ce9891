"""How running steps are shown: a live table in a terminal, plain lines with the time elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

HEARTBEAT_SECONDS = 60.0
LINE_WIDTH = 100


class Progress(Protocol):
    """What the step runner tells about; all methods may be called from any thread."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End the display."""

    def started(self, name: str, log: Path) -> None:
        """Tell that the step begins."""

    def finished(self, name: str, seconds: float) -> None:
        """Tell that the step is done."""

    def skipped(self, name: str) -> None:
        """Tell that there was nothing to do."""

    def failed(self, name: str, seconds: float, *, was_stopped: bool) -> None:
        """Tell that the step failed, or was stopped because another did; whoever catches the error prints why."""

    def line(self, text: str) -> None:
        """Print one line."""

    def tick(self) -> None:
        """Give a sign of life, about once a second."""


@dataclass
class _Running:
    log: Path
    since: float
    told: float


class PlainProgress:
    """One line with the time of day for each event, and one a minute for what still runs."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}

    def __enter__(self) -> Self:
        """Begin; nothing has to be prepared."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End; nothing has to be put back."""

    def started(self, name: str, log: Path) -> None:
        """Tell that the step begins."""
        now = time.monotonic()
        self._running[name] = _Running(log, now, now)
        self.line(f"{name} …")

    def finished(self, name: str, seconds: float) -> None:
        """Tell that the step is done."""
        self._running.pop(name, None)
        self.line(f"{name}: done in {seconds:.0f} s")

    def skipped(self, name: str) -> None:
        """Say nothing: what is cached needs no line."""

    def failed(self, name: str, seconds: float, *, was_stopped: bool) -> None:
        """Tell that the step failed or was stopped."""
        self._running.pop(name, None)
        self.line(f"{name}: {'stopped' if was_stopped else 'FAILED'} after {seconds:.0f} s")

    def line(self, text: str) -> None:
        """Print one line."""
        print(f"{datetime.now().astimezone():%H:%M:%S} {text}", flush=True)

    def tick(self) -> None:
        """Say once a minute what still runs, with the last line of its log."""
        now = time.monotonic()
        for name, step in list(self._running.items()):
            if now - step.told >= HEARTBEAT_SECONDS:
                step.told = now
                self.line(f"{name}: still running after {now - step.since:.0f} s ({_last_line(step.log)})")


class RichProgress(PlainProgress):
    """A live table: one row per running step, with the last line of its log."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        from rich.live import Live  # noqa: PLC0415  (not needed elsewhere than in a terminal)

        self._live = Live(get_renderable=self._table, refresh_per_second=4, transient=True)
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Take the table away; the lines stay."""
        if self._live is not None:
            self._live.stop()

    def started(self, name: str, log: Path) -> None:
        """Add a row."""
        now = time.monotonic()
        self._running[name] = _Running(log, now, now)

    def skipped(self, name: str) -> None:
        """Say that it was there already."""
        self._print(f"[dim]✓ {name}: already there[/dim]")

    def finished(self, name: str, seconds: float) -> None:
        """Turn the row into a line."""
        self._running.pop(name, None)
        self._print(f"[green]✓[/green] {name} [dim]{seconds:.0f} s[/dim]")

    def failed(self, name: str, seconds: float, *, was_stopped: bool) -> None:
        """Turn the row into a line."""
        self._running.pop(name, None)
        shown = f"[dim]- {name}: stopped" if was_stopped else f"[red]✗ {name}[/red] [dim]"
        self._print(f"{shown} {seconds:.0f} s[/dim]")

    def line(self, text: str) -> None:
        """Print above the table."""
        from rich.markup import escape  # noqa: PLC0415

        self._print(escape(text))

    def tick(self) -> None:
        """Do nothing: the table refreshes itself."""

    def _print(self, markup: str) -> None:
        if self._live is not None:
            self._live.console.print(markup, highlight=False)

    def _table(self) -> Table:
        from rich.spinner import Spinner  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table.grid(padding=(0, 1))
        for name, step in list(self._running.items()):
            seconds = time.monotonic() - step.since
            table.add_row(
                Spinner("dots"), Text(name), Text(f"{seconds:.0f} s"), Text(_last_line(step.log), style="dim")
            )
        return table


def make_progress() -> Progress:
    """Choose: rich in a terminal where it is installed, plain lines everywhere else."""
    if not sys.stdout.isatty():
        return PlainProgress()
    try:
        import rich  # noqa: F401, PLC0415
    except ImportError:
        return PlainProgress()
    return RichProgress()


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as lines:
            lines.seek(0, 2)
            lines.seek(max(0, lines.tell() - 2000))
            text = lines.read().decode(errors="replace").strip()
    except OSError:
        return ""
    return text.splitlines()[-1][:LINE_WIDTH] if text else ""
