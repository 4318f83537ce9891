"""Helm, in both versions that people use, and the chart of this project."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import gobuild
from steps import run_steps

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "chart" / "llminference"
MAJORS = tuple(gobuild.HELM_VERSIONS)
RELEASE = "llminference"


def _make_home() -> str:
    home = tempfile.mkdtemp(prefix="llmi-helm-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


@dataclass(frozen=True)
class Helm:
    """One version of Helm, towards one cluster or none.

    It keeps its configuration in a folder of its own: plug-ins and repositories of the person are not used.
    """

    major: int
    kubeconfig: Path | None = None
    home: str = field(default_factory=_make_home)

    def __call__(self, *words: str, fails: bool = False) -> str:
        """Run it and give what it prints; with ``fails``, it must fail, and what it complains about is given."""
        names = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        environment = {
            **os.environ,
            **dict.fromkeys(names, self.home),
            "KUBECONFIG": str(self.kubeconfig or os.devnull),
        }
        argv = [str(_program(self.major)), *words]
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=120)
        assert (done.returncode != 0) is fails, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def template(self, namespace: str, **values: Any) -> list[dict[str, Any]]:
        """Render the chart without a cluster."""
        text = self("template", RELEASE, str(CHART), "--namespace", namespace, *flags(values))
        return [body for body in yaml.safe_load_all(text) if body]

    def install(self, namespace: str, *more: str, chart: Path = CHART, **values: Any) -> str:
        """Install the release, or upgrade it with these values and no others."""
        words = ["upgrade", "--install", RELEASE, str(chart), "--namespace", namespace, *flags(values), *more]
        return self(*words)

    def uninstall(self, namespace: str) -> str:
        """Uninstall the release and wait until what it made is gone."""
        return self("uninstall", RELEASE, "--namespace", namespace, "--wait", "--timeout=60s")


def flags(values: dict[str, Any]) -> list[str]:
    """Values as words of the command line."""
    return [word for name, value in values.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]


def _program(major: int) -> Path:
    programs = gobuild.helm(major)
    if not programs.artifact.is_built():
        run_steps([programs.step()])
    return programs.path("helm")
