"""Who used the processors meanwhile: a server and all its children, ourselves, or strangers."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Places of idle and waiting for a disk in the kernel's list of how the time was spent."""

_GUEST = 8
"""From here on the list repeats time that it has counted already."""


@dataclass(frozen=True)
class Reading:
    """Seconds of processor time since the machine or the processes began, and when that was read."""

    at: float
    machine: float
    server: float
    client: float

    def strangers_since(self, before: "Reading") -> float:
        """Return how many cores others used on average since an earlier reading."""
        elapsed = max(self.at - before.at, 1e-9)
        known = self.server - before.server + self.client - before.client
        return max(0.0, self.machine - before.machine - known) / elapsed


def read(root: int | None) -> Reading:
    """Read the machine's clock, and that of ourselves and of the process ``root`` and its children, if there is one."""
    numbers = [int(word) for word in (_PROC / "stat").read_text().splitlines()[0].split()[1:]]
    busy = sum(number for place, number in enumerate(numbers[:_GUEST]) if place not in _IDLE)
    own = os.times()
    server = sum(_seconds_of(pid) for pid in (tree(root) if root else ()))
    # With children that have ended: who probes our health does so in a process of its own.
    client = own.user + own.system + own.children_user + own.children_system
    return Reading(at=time.monotonic(), machine=busy / _TICKS, server=server, client=client)


def tree(root: int) -> list[int]:
    """Return a process and all that came from it."""
    parents: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and (fields := _fields(int(folder.name))):
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += parents.get(pid, [])
    return found


def send(root: int, number: signal.Signals) -> None:
    """Send a signal to a process and all that came from it."""
    for pid in tree(root):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def peak_bytes(root: int) -> int:
    """Return the most memory that a process and its children each had, added up."""
    return sum(_peak(pid) for pid in tree(root))


def _seconds_of(pid: int) -> float:
    fields = _fields(pid)
    # User and system time, and that of children that have ended.
    return sum(int(field) for field in fields[11:15]) / _TICKS if fields else 0.0


def _fields(pid: int) -> list[str]:
    """Return what stands behind the name in a process's line, from its state on; nothing if it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _peak(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
