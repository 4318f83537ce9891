"""Runs the auditor beside tests and asks for its findings."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmi_testing.json_lines import read_json_lines
from llmi_testing.own_modules import with_own_modules


class Audit:
    """Use it as a context manager; `findings` is what must not have been.

    Args:
        kubeconfig: Of an administrator, as JSON with everything in it.
        folder: For what it writes.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._kubeconfig = kubeconfig
        self._findings = folder / "findings"
        self._excuses = folder / "excuses"
        self._log = folder / "auditor.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ignored: set[str] = set()

    def __enter__(self) -> Self:
        self._findings.touch()
        with self._log.open("ab") as log:
            argv = [sys.executable, "-m", "llmi_testing.auditor"]
            places = map(str, (self._kubeconfig, self._findings, self._excuses))
            self._process = subprocess.Popen(
                [*argv, *places],
                env=with_own_modules(dict(os.environ)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it looks."""
        return self._process is not None and self._process.poll() is None

    def findings(self) -> list[dict[str, Any]]:
        """What it has found so far; an auditor that has ended is a finding too."""
        assert self.is_running, f"the auditor has ended:\n{self._log.read_text()[-3000:]}"
        return [one for one in read_json_lines(self._findings) if one["namespace"] not in self._ignored]

    def ignore(self, namespace: str) -> None:
        """Leave out a namespace in which a test does wrong itself."""
        self._ignored.add(namespace)

    @contextlib.contextmanager
    def excused(self) -> Iterator[None]:
        """Do not blame the operator for being late: it is down on purpose."""
        self._excuses.touch()
        try:
            yield
        finally:
            self._excuses.unlink(missing_ok=True)
