"""The operator as a real process, against whatever a kubeconfig leads to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.json_lines import read_json_lines
from llmi_testing.own_modules import with_own_modules

FAST_LEASE = {
    "LLMI_OPERATOR_LEASE_DURATION_SECONDS": "4",
    "LLMI_OPERATOR_LEASE_RENEW_DEADLINE_SECONDS": "3",
    "LLMI_OPERATOR_LEASE_RETRY_SECONDS": "0.3",
}
CALM_LEASE: dict[str, Any] = {
    "lease_duration_seconds": "15",
    "lease_renew_deadline_seconds": "10",
    "lease_retry_seconds": "2",
}
"""The lease of production, as settings: the fast one would be lost where an operator has much to do."""
STOP_SECONDS = 25.0
ANSWER_SECONDS = 30.0


class OperatorProcess:
    """Use it as a context manager: ready at the beginning, stopped at the end, its log printed after a failure.

    Without ``wait`` the block begins as soon as the process does. ``source`` is a tree of another version to run.
    """

    module = "llmi_operator"

    def __init__(
        self, kubeconfig: Path, log: Path, *, wait: bool = True, source: Path | None = None, **settings: str
    ) -> None:
        self._wait = wait
        self._kubeconfig = kubeconfig
        self._settings = settings
        self._source = source
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log
        self.port = free_port()

    def __enter__(self) -> Self:
        self.start()
        if self._wait:
            try:
                eventually(self.is_ready, seconds=40)
            except BaseException:
                self.kill()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        if error is not None:
            print(f"--- {self.log}\n{self.log.read_text()[-8000:]}")

    def start(self) -> None:
        """Start it and come back at once."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMI_OPERATOR_")}
        environment |= FAST_LEASE | {
            "KUBECONFIG": str(self._kubeconfig),
            "LLMI_OPERATOR_HEALTH_HOST": "127.0.0.1",
            "LLMI_OPERATOR_HEALTH_PORT": str(self.port),
            "LLMI_OPERATOR_LEASE_NAMESPACE": "llminference-system",
        }
        if self._source is not None:
            environment["PYTHONPATH"] = os.pathsep.join(str(self._source / part) for part in ("api", "operator"))
        elif self.module.startswith("llmi_testing."):
            environment = with_own_modules(environment)
        environment |= {f"LLMI_OPERATOR_{name.upper()}": value for name, value in self._settings.items()}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Its process number."""
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self) -> int:
        """Ask it to stop and wait for that."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def is_ready(self) -> bool:
        """Whether it has listed everything once."""
        assert self.returncode is None, f"the operator ended with {self.returncode}:\n{self.log.read_text()[-4000:]}"
        with contextlib.suppress(OSError, urllib.error.URLError):
            return bool(self.ask("/readyz") == "ok")
        return False

    def ask(self, path: str) -> str:
        """Ask its health port."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=ANSWER_SECONDS) as answer:
            return str(answer.read().decode())

    def is_leader(self) -> bool:
        """Whether it is the one that writes."""
        return "llmi_operator_leader 1.0" in self.ask("/metrics")

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return read_json_lines(self.log)
