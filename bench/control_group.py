"""A share of the processor for each server, however many threads it has, as pods have one.

Without it, on a machine where others work too, the server with more threads gets more of the processor.
"""

import os
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_FIRST_VERSION = (_ROOT / "cpu", "cpu.shares", 1024)
_SECOND_VERSION = (_ROOT, "cpu.weight", 100)
"""Where groups are made, what holds their weight, and the weight of one ordinary task."""


def inside(name: str, command: Sequence[str]) -> list[str]:
    """Return a command line that runs in a group of its own, with the weight of one task for each core.

    Args:
        name: Of the group, which stays until `remove`.
        command: What to run; returned as it is where we may make no group.
    """
    for root, weight, each in (_FIRST_VERSION, _SECOND_VERSION):
        group = root / f"llmi-bench-{name}"
        try:
            group.mkdir(exist_ok=True)
            (group / weight).write_text(str(each * (os.cpu_count() or 1)))
        except OSError:
            continue
        return ["/bin/sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command]
    return list(command)


def remove(name: str) -> None:
    """Remove a group whose processes have ended, if there is one."""
    for root in (_FIRST_VERSION[0], _SECOND_VERSION[0]):
        try:
            (root / f"llmi-bench-{name}").rmdir()
        except OSError:
            continue
