"""What an operator process says about its own work."""

from __future__ import annotations

from llmi_testing.eventually import eventually
from llmi_testing.operator_process import OperatorProcess


def read_metric(process: OperatorProcess, name: str) -> float:
    """The sum of all series whose line begins so."""
    lines = process.ask("/metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def wait_until_idle(process: OperatorProcess, *, seconds: float = 60.0) -> None:
    """Wait until nothing waits for a pass."""
    eventually(lambda: read_metric(process, "llmi_operator_queue_length") == 0, "the queue is empty", seconds=seconds)


def wait_for_passes(process: OperatorProcess, number: int, *, seconds: float = 60.0) -> None:
    """Wait until so many more passes were made, which somebody else or a listing must cause."""
    least = read_metric(process, "llmi_operator_passes_total") + number
    eventually(
        lambda: read_metric(process, "llmi_operator_passes_total") >= least, f"{number} more passes", seconds=seconds
    )
