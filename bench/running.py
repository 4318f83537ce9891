"""A server as a process: started, awaited, held still while another is measured, and ended."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import control_group
import processor_time
from load import Outcome, Request, put_load
from servers import NAME, Server

LOGS = Path(__file__).resolve().parent.parent / "build" / "bench" / "log"
_POLL_SECONDS = 0.05
_OK = 200


class NotStartedError(Exception):
    """A server did not become ready."""


@dataclass(frozen=True)
class Block:
    """What came of one load on one server.

    Attributes:
        outcome: The answers.
        strangers: Cores that others used meanwhile, on average.
        processor_seconds: What the server and its children used of the processors.
    """

    outcome: Outcome
    strangers: float
    processor_seconds: float


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers."""

    server: Server
    process: subprocess.Popen[bytes]
    address: str
    model: str
    start_seconds: float
    strangers_at_start: float

    def hold(self) -> None:
        """Stop it, so that it disturbs nobody."""
        processor_time.send(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        processor_time.send(self.process.pid, signal.SIGCONT)

    def peak_bytes(self) -> int:
        """Return the most memory it had so far."""
        return processor_time.peak_bytes(self.process.pid)

    def put_load(self, requests: list[Request], *, clients: int, probe: str | None = None) -> Block:
        """Put load on it."""
        before = processor_time.read(self.process.pid)
        outcome = put_load(self.address, self.server.route, requests, clients=clients, probe=probe)
        after = processor_time.read(self.process.pid)
        return Block(outcome, after.strangers_since(before), after.server - before.server)


@contextmanager
def running(key: str, server: Server, folder: Path, *, wait_seconds: float) -> Iterator[Running]:
    """Run a server until the block ends.

    Args:
        key: Name of its log.
        server: Which.
        folder: Its model.
        wait_seconds: How long it may take to become ready.

    Raises:
        NotStartedError: It ended by itself, or took too long.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    port, log = _free_port(), LOGS / f"{key}.log"
    with log.open("wb") as output:
        began = time.monotonic()
        before = processor_time.read(None)
        process = subprocess.Popen(
            control_group.inside(key, server.command(folder, port)),
            env={**os.environ, **server.environment(folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _await_health(address + server.health, process, log, wait_seconds)
            seconds = time.monotonic() - began
            model = str(folder) if server.named_by_folder else NAME
            yield Running(
                server=server,
                process=process,
                address=address,
                model=model,
                start_seconds=seconds,
                strangers_at_start=processor_time.read(process.pid).strangers_since(before),
            )
        finally:
            _end(process)
            control_group.remove(key)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_health(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise NotStartedError(f"it ended with status {process.returncode}; {log} says why")
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            if answer.status == _OK:
                return
        time.sleep(_POLL_SECONDS)
    raise NotStartedError(f"it was not ready after {seconds:.0f} s; see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and its children, gently at first."""
    processor_time.send(process.pid, signal.SIGCONT)
    everyone = processor_time.tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for pid in everyone:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
