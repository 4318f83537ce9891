"""Raw connections: send bytes, and judge whatever comes back."""

import contextlib
import itertools
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from llmi_testing.verdict import fault_of
from llmi_testing.wire_fuzz import Wire

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")
_QUIET_SECONDS = 0.25
_HANGS_SECONDS = 20.0
_RESET = struct.pack("ii", 1, 0)


@dataclass(kw_only=True)
class RawAnswer:
    """One answer as it came over a socket."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Tally:
    """What came of many messages."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, wire: Wire, answers: list[RawAnswer]) -> None:
        """Count the answers to a message and judge them."""
        with self.lock:
            self.statuses.update([answer.status for answer in answers] or [0])
            for answer in answers:
                fault = None if answer.status < 200 else fault_of(answer.status, answer.headers, answer.body, path="")
                if fault is not None and answer.body:
                    self.faults.append(f"{fault} for {wire}")


def connect(port: int, *, seconds: float = 10) -> socket.socket:
    """Open a connection to a server on this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=seconds)


def answers_in(received: bytes) -> Iterator[RawAnswer]:
    """Take apart what came over a connection: answers after one another."""
    lines = list(_STATUS_LINE.finditer(received))
    for line, after in itertools.zip_longest(lines, lines[1:]):
        end = after.start() if after else len(received)
        head, _, body = received[line.end() : end].partition(b"\r\n\r\n")
        pairs = (header.partition(": ") for header in head.decode("latin-1").split("\r\n"))
        yield RawAnswer(status=int(line[1]), headers={name.lower(): value for name, _, value in pairs}, body=body)


def exchange(port: int, wire: Wire) -> list[RawAnswer]:
    """Send a message and return the answers to it; a server that neither answers nor closes fails."""
    with connect(port) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for part in wire.parts:
                connection.sendall(part)
        if wire.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if wire.ending != "close":
            return []
        return list(answers_in(_received(connection)))


def send_all(port: int, wires: Iterable[Wire], *, at_once: int, keep_on: Callable[[], bool]) -> Tally:
    """Send many messages, several at once, as long as ``keep_on`` says so."""
    tally = Tally()

    def send(wire: Wire) -> None:
        if keep_on():
            try:
                tally.note(wire, exchange(port, wire))
            except TimeoutError:
                tally.faults.append(f"no end after {wire}")

    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(send, wires))
    return tally


def _received(connection: socket.socket) -> bytes:
    """Read until the server closes, or is quiet; then say that nothing more comes, and it must close."""
    received = b""
    connection.settimeout(_QUIET_SECONDS)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while True:
            try:
                block = connection.recv(65_536)
            except TimeoutError:
                if connection.gettimeout() == _HANGS_SECONDS:
                    raise
                connection.settimeout(_HANGS_SECONDS)
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                continue
            if not block:
                break
            received += block
    return received
