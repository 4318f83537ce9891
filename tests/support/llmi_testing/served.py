"""A server in a process of its own, as it is deployed: ``python -m llmi_server serve`` on a model's folder."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from llmi_api.launch import Task
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.server import MODEL_NAME

READY_SECONDS = 240
"""Importing PyTorch takes its time on a busy machine, in two processes for text generation."""


@dataclass(kw_only=True)
class Served:
    """A server process and how to speak to it.

    Attributes:
        url: Where it listens.
        port: The same as a number.
        http: A client for it.
        process: The process.
        log: What it wrote.
    """

    url: str
    port: int
    http: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path

    def metric(self, name: str, **labels: str) -> float:
        """One sample of its metrics, all labels that are not named added up."""
        return sum(
            sample.value for sample in self.samples() if sample.name == name and labels.items() <= sample.labels.items()
        )

    def samples(self) -> list[Any]:
        """All samples of its metrics."""
        text = self.http.get("/metrics").raise_for_status().text
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def memory_bytes(self) -> int:
        """Resident memory of the process and of those it started."""
        return sum(_resident(number) for number in [self.process.pid, *self.children()])

    def children(self) -> list[int]:
        """Numbers of the processes that it started."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(number) for task in tasks for number in (task / "children").read_text().split()]

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        return self.metric("llmi_requests_running") == self.metric("llmi_requests_waiting") == 0

    def terminate(self) -> None:
        """Ask it to drain, as the kubelet does."""
        self.process.send_signal(signal.SIGTERM)

    def assert_well(self) -> None:
        """It runs, is alive and ready, and has logged no traceback."""
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        assert self.http.get("/livez").status_code == 200
        assert self.http.get("/readyz").status_code == 200
        assert not self.tracebacks(), "\n".join(self.tracebacks()[:3])

    def tracebacks(self) -> list[str]:
        """Its log lines that tell of an exception that nobody expected."""
        return [line[:4000] for line in self.log.read_text().splitlines() if "Traceback" in line]


@contextmanager
def served(folder: Path, task: Task, *, wait: bool = True, **settings: Any) -> Iterator[Served]:
    """Run a server while the block runs; settings are those of `ServeSettings`."""
    port = free_port()
    values = {"model_dir": folder, "model_name": MODEL_NAME, "task": task, "host": "127.0.0.1", "port": port,
              "threads": 1, "drain_seconds": 5, "termination_message_path": "/dev/null", **settings}  # fmt: skip
    arguments = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LLMI_")}
    with tempfile.TemporaryDirectory() as scratch, (Path(scratch) / "log").open("wb") as log:
        command = [sys.executable, "-m", "llmi_server", "serve", *arguments]
        process = subprocess.Popen(command, env=clean, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=60) as http:
            running = Served(url=url, port=port, http=http, process=process, log=Path(log.name))
            try:
                if wait:
                    eventually(lambda: _is_ready(running), "the server is ready", seconds=READY_SECONDS)
                yield running
            finally:
                process.kill()
                process.wait()


def _is_ready(running: Served) -> bool:
    if running.process.poll() is not None:
        raise RuntimeError(running.log.read_text()[-2000:])
    try:
        return running.http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _resident(number: int) -> int:
    pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
