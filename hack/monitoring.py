"""Prometheus, promtool and Alertmanager: those on PATH, else Debian's packages, unpacked and not installed."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cache import Artifact, key_of
from problems import MissingTool
from steps import Step, sh

PACKAGES = ("prometheus", "prometheus-alertmanager")
_TITLE = "Debian packages of Prometheus and Alertmanager"


@dataclass(frozen=True)
class Programs:
    """How the programs are called.

    Attributes:
        alertmanager: The words before its flags.
    """

    prometheus: Path
    promtool: Path
    alertmanager: tuple[str | Path, ...]


def packages() -> Artifact:
    """The packages, unpacked."""
    return Artifact("prometheus", key_of(*PACKAGES))


def step() -> Step:
    """Give the step that fetches them, unless they are there."""
    return Step(
        _TITLE,
        lambda log: packages().build(lambda target: _fetch(target, log)),
        skip_if=lambda: _on_path() is not None or packages().is_built(),
        remedy="check that the package mirror answers, or put prometheus, promtool and alertmanager on PATH",
    )


def is_to_be_had() -> bool:
    """Tell whether it is there, or an apt that can fetch it."""
    return _on_path() is not None or packages().is_built() or shutil.which("apt-get") is not None


def find() -> Programs:
    """Find them; say what to do when they are absent."""
    if (own := _on_path()) is not None:
        return own
    if not packages().is_built():
        raise MissingTool(
            "There is no Prometheus here.", "run `make test-observability`, which fetches it, or put it on PATH"
        )
    folder = packages().path / "usr/bin"
    return Programs(folder / "prometheus", folder / "promtool", _with_its_templates(folder / "prometheus-alertmanager"))


def _with_its_templates(program: Path) -> tuple[str | Path, ...]:
    """Show Debian's Alertmanager its own /usr/share, where alone it looks for its templates."""
    namespace = ("--mount",) if os.geteuid() == 0 else ("--map-root-user", "--mount")
    script = 'mount --bind "$0" /usr/share && exec "$@"'
    return ("unshare", *namespace, "sh", "-c", script, program.parents[1] / "share", program)


def _on_path() -> Programs | None:
    manager = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    found = (shutil.which("prometheus"), shutil.which("promtool"), manager)
    paths = [Path(one) for one in found if one is not None]
    return Programs(paths[0], paths[1], (paths[2],)) if len(paths) == len(found) else None


def _fetch(target: Path, log: Path) -> None:
    """Let apt look up, fetch and check the packages, in folders of our own: that needs no root and installs nothing."""
    if shutil.which("apt-get") is None:
        raise MissingTool(
            "There is no apt-get to fetch Prometheus with.",
            "put prometheus, promtool and alertmanager on PATH (https://prometheus.io/download)",
        )
    state = target / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    own = [f"Dir::State::Lists={state}/lists", f"Dir::Cache={state}", "APT::Sandbox::User=", "Acquire::Retries=5"]
    apt = ["apt-get", "-q", *(word for option in own for word in ("-o", option))]
    sh([*apt, "update"], log)
    sh([*apt, "download", *PACKAGES], log, cwd=state)
    for package in sorted(state.glob("*.deb")):
        sh(["dpkg-deb", "-x", package, target], log)
    shutil.rmtree(state)
