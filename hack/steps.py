"""A small runner for named steps that depend on one another.

Use::

    from steps import Step, run_steps, sh

    def build_server(log: Path) -> None:
        sh(["docker", "build", "-t", "server", "."], log)

    run_steps([
        Step("base image", build_base),
        Step("server image", build_server, after=("base image",), skip_if=server_is_built),
        Step("operator image", build_operator, after=("base image",), remedy="see Dockerfile.operator"),
    ])

* ``Step(name, run, after=(), skip_if=None, remedy="")``: ``run`` is called with the path of the step's
  log file. ``skip_if`` is asked just before the step would start, when all of ``after`` is done.
* ``run_steps(steps, log_dir=build/log)``: steps whose dependencies are done run side by side, in threads.
  The first failure stops the other steps' commands, and is raised as ``StepFailed`` (exit code 4, or that of
  the ``Problem`` the step raised), with the last 20 lines of the log and the remedy.
* ``sh(argv, log, env=None, cwd=None, stdin=None)``: runs a command, its output appended to the log;
  ``CommandFailed`` when it fails. ``say(text)`` prints a line that does not disturb the progress display.
  ``pause(seconds)`` is the sleep of a step that waits for something: it ends the step when the run is being stopped.

Progress is drawn by rich when stdout is a terminal; elsewhere it is plain lines with the time of day.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from problems import CommandFailed, Problem
from progress import Progress, make_progress

LOG_DIR = Path(__file__).resolve().parent.parent / "build" / "log"
TAIL_LINES = 20

_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.Lock()
_stopping = threading.Event()
_progress: Progress | None = None


@dataclass(frozen=True)
class Step:
    """One named piece of work. ``name`` is shown, and names the log file."""

    name: str
    run: Callable[[Path], None]
    after: tuple[str, ...] = ()
    skip_if: Callable[[], bool] | None = None
    remedy: str = ""


class StepFailed(Problem):
    """A step failed; tells which one, why, and what its log said last."""

    def __init__(self, step: Step, cause: BaseException, log: Path) -> None:
        tail = "\n".join(f"  | {line}" for line in last_lines(log, TAIL_LINES))
        why = cause.what if isinstance(cause, Problem) else f"{type(cause).__name__}: {cause}"
        # A problem knows its own way out; a command that failed knows only where its output is.
        own = cause.remedy if isinstance(cause, Problem) else ""
        remedy = (step.remedy or own) if isinstance(cause, CommandFailed) else (own or step.remedy)
        super().__init__(
            f"Step “{step.name}” failed: {why}" + (f"\nEnd of {log}:\n{tail}" if tail else ""),
            remedy or f"read {log}, correct the cause, and run the same command again: finished steps are kept",
        )
        self.step = step
        if isinstance(cause, Problem):
            self.exit_code = cause.exit_code


def say(text: str) -> None:
    """Print a line for the person, above the progress display if there is one."""
    if _progress is not None:
        _progress.line(text)
    else:
        print(text, flush=True)


def sh(
    argv: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    stdin: IO[bytes] | None = None,
) -> None:
    """Run a command with its output appended to ``log``; ``env`` is added to our own environment."""
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(words)}\n".encode())
        out.flush()
        # A session of its own: the whole tree (go build, debootstrap) can be stopped by one signal.
        process = subprocess.Popen(
            words,
            stdin=stdin or subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    with _running_lock:
        _running.add(process)
        if _stopping.is_set():
            _terminate(process)
    try:
        code = process.wait()
    finally:
        with _running_lock:
            _running.discard(process)
    if code != 0:
        raise CommandFailed(words, code, log=log)


def pause(seconds: float) -> None:
    """Sleep, unless the run is being stopped (a failure elsewhere, Ctrl-C): then leave the step at once."""
    if _stopping.wait(seconds):
        raise Problem("stopped, because the run was stopped")


def run_steps(steps: Iterable[Step], log_dir: Path = LOG_DIR, progress: Progress | None = None) -> None:
    """Run all steps, each after those it names, independent ones side by side."""
    global _progress  # noqa: PLW0603  (say() must find the display of the run in progress)
    todo = {step.name: step for step in steps}
    _check(todo)
    _stopping.clear()
    display = progress or make_progress()
    _progress = display
    try:
        with display, ThreadPoolExecutor(max_workers=max(1, len(todo))) as pool:
            _drive(todo, log_dir, display, pool)
    finally:
        _progress = None
        _stopping.clear()


def last_lines(path: Path, count: int) -> list[str]:
    """Give the last lines of a log that may not exist yet."""
    try:
        with path.open(errors="replace") as lines:
            return [line.rstrip() for line in deque(lines, maxlen=count)]
    except OSError:
        return []


def _check(todo: Mapping[str, Step]) -> None:
    done: set[str] = set()
    while len(done) < len(todo):
        ready = {s.name for s in todo.values() if s.name not in done and done.issuperset(s.after)}
        if not ready:
            stuck = sorted(set(todo) - done)
            message = f"these steps wait for a step that does not exist, or for one another: {', '.join(stuck)}"
            raise ValueError(message)
        done |= ready


def _drive(todo: Mapping[str, Step], log_dir: Path, display: Progress, pool: ThreadPoolExecutor) -> None:
    waiting, done = dict(todo), set[str]()
    futures: dict[Future[None], Step] = {}
    try:
        while waiting or futures:
            for step in [s for s in waiting.values() if done.issuperset(s.after)]:
                del waiting[step.name]
                futures[pool.submit(_run_one, step, _log_of(step, log_dir), display)] = step
            finished, _ = wait(futures, timeout=1, return_when=FIRST_COMPLETED)
            display.tick()
            for future in finished:
                step = futures.pop(future)
                _raise_failure(step, future, _log_of(step, log_dir))
                done.add(step.name)
    except BaseException:
        _stop_all()
        raise


def _raise_failure(step: Step, future: Future[None], log: Path) -> None:
    error = future.exception()
    if error is not None:
        raise StepFailed(step, error, log) from error


def _run_one(step: Step, log: Path, display: Progress) -> None:
    if step.skip_if is not None and step.skip_if():
        display.skipped(step.name)
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    started = time.monotonic()
    display.started(step.name, log)
    try:
        step.run(log)
    except BaseException:
        display.failed(step.name, time.monotonic() - started, was_stopped=_stopping.is_set())
        raise
    display.finished(step.name, time.monotonic() - started)


def _log_of(step: Step, log_dir: Path) -> Path:
    return log_dir / (re.sub(r"[^a-z0-9.]+", "-", step.name.lower()).strip("-") + ".log")


def _stop_all() -> None:
    _stopping.set()
    terminate_commands()


def terminate_commands() -> None:
    """Ask all commands that ``sh`` runs now to end; one that starts later runs."""
    with _running_lock:
        for process in _running:
            _terminate(process)


def _terminate(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return


def tell_and_exit(main: Callable[[], int | None]) -> None:
    """Run a program's main function; print a Problem as a sentence and leave with its exit code."""
    try:
        code = main() or 0
    except Problem as problem:
        print(f"\nerror: {problem}", file=sys.stderr, flush=True)
        code = problem.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted; what was finished is kept, the same command goes on from there", file=sys.stderr)
        code = 130
    raise SystemExit(code)
