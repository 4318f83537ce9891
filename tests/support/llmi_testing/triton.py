"""A real Triton on this machine, watched over as in a pod: ``llmi-server triton`` as a process."""

import os
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import triton_program
from llmi_api.launch import Task
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_ports

NAME = "owner/test-model"
START_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True)
class RunningTriton:
    """Triton and who watches over it.

    Attributes:
        address: Host and port, as Triton's client wants them.
        metrics_address: The same of its metrics.
        process: Who watches.
        message: File of the termination message.
        log: File with all that was said.
    """

    address: str
    metrics_address: str
    process: subprocess.Popen[bytes]
    message: Path
    log: Path

    def metric(self, name: str) -> float:
        """The value of one of Triton's metrics, summed."""
        lines = httpx.get(f"http://{self.metrics_address}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def back_end(self) -> int:
        """Process id of the back end, a grandchild."""
        (triton,) = _children(self.process.pid)
        (stub,) = _children(triton)
        return stub

    def is_ready(self) -> bool:
        """Whether the readiness probe would be content."""
        try:
            return httpx.get(f"http://{self.address}/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False


def triton_python(folder: Path) -> Path:
    """Make an environment like this one, but with the NumPy that Triton's back end needs; the path of its Python."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    packages = next((folder / "lib").glob("python*/site-packages"))
    ours = [path for path in sys.path if Path(path).is_dir() and not path.startswith(sys.base_prefix)]
    (packages / "ours.pth").write_text("\n".join([str(triton_program.build() / "python"), *ours]) + "\n")
    return folder / "bin" / "python3"


def start_triton(folder: Path, task: Task, work: Path, **settings: Any) -> RunningTriton:
    """Start it, without waiting.

    Args:
        folder: The model.
        task: What it is asked to do.
        work: An empty folder.
        **settings: Settings of ``llmi-server triton``.
    """
    http, metrics = free_ports(2)
    message, log = work / "termination", work / "log"
    values = {"model_name": NAME, "task": task, "model_dir": folder, "host": "127.0.0.1", "port": http}
    values |= {"metrics_port": metrics, "program_dir": triton_program.build()}
    values |= {"termination_message_path": message, "drain_seconds": 20, **settings}
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LLMI_", "PYTHON"))}
    ours = {f"LLMI_{key.upper()}": str(value) for key, value in values.items()}
    python = str(triton_python(work / "environment"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "llmi_server", "triton"], env=clean | ours, stdout=output, stderr=output
        )
    return RunningTriton(
        address=f"127.0.0.1:{http}", metrics_address=f"127.0.0.1:{metrics}", process=process, message=message, log=log
    )


@contextmanager
def running_triton(folder: Path, task: Task, work: Path, **more: Any) -> Iterator[RunningTriton]:
    """Run it while the block runs; ready when the block begins."""
    running = start_triton(folder, task, work, **more)
    try:
        eventually(lambda: _ready_or_ended(running), "Triton is ready", seconds=START_SECONDS)
        yield running
    finally:
        stop(running)


def stop(running: RunningTriton) -> None:
    """End it and all that it has started."""
    family = [running.process.pid]
    for process in family:
        family += _children(process)
    for process in reversed(family):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    running.process.wait()


def _ready_or_ended(running: RunningTriton) -> bool:
    if running.process.poll() is not None:
        raise RuntimeError(f"Triton ended: {running.log.read_text()[-3000:]}")
    return running.is_ready()


def _children(process: int) -> list[int]:
    lists = Path("/proc").glob(f"{process}/task/*/children")
    return [int(child) for one in lists for child in one.read_text().split()]
