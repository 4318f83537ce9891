"""``kubectl llminference`` as a process, as kubectl would start it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from llmi_testing.own_modules import with_own_modules


class Plugin:
    """The plugin against one cluster and one namespace; ``programs`` is the folder of the kubectl it may call."""

    def __init__(self, kubeconfig: Path, namespace: str, programs: Path) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._programs = programs

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it, whatever becomes of it."""
        path = os.pathsep.join([str(self._programs), os.environ.get("PATH", "")])
        environment = with_own_modules({**os.environ, "KUBECONFIG": str(self._kubeconfig), "PATH": path})
        argv = [sys.executable, "-m", "llmi_kubectl", *words, "-n", self._namespace]
        return subprocess.run(
            argv, input=stdin, env=environment, capture_output=True, text=True, check=False, timeout=90
        )

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """Run it and give what it prints; it must succeed and complain of nothing."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def read(self, *words: str, stdin: str | None = None) -> Any:
        """Run it with -o json and read that."""
        return json.loads(self(*words, "-o", "json", stdin=stdin))
