"""What GitOps tools make of an object, by their own libraries: see hack/tools/judge."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import gobuild
from steps import run_steps

ROOT = Path(__file__).parents[3]


class Judgement(NamedTuple):
    """One word, and the sentence that is shown with it."""

    status: str
    message: str


def kstatus(*objects: dict[str, Any]) -> list[Judgement]:
    """What Flux would wait for, or give up on."""
    return _ask(["kstatus"], objects)


def argo(*objects: dict[str, Any]) -> list[Judgement]:
    """What Argo CD would show, with the health script of deploy/argocd."""
    return _ask(["argocd", str(ROOT / "deploy" / "argocd" / "health.lua")], objects)


def kubeconform(*objects: dict[str, Any]) -> list[Judgement]:
    """What kubeconform says by the schema that editors use."""
    return _ask(["kubeconform", str(ROOT / "schemas")], objects)


def _ask(words: list[str], objects: Iterable[dict[str, Any]]) -> list[Judgement]:
    programs = gobuild.judge()
    if not programs.artifact.is_built():
        run_steps([programs.step()])
    argv = [str(programs.path("judge")), *words]
    done = subprocess.run(argv, input=json.dumps(list(objects)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Judgement(**item) for item in json.loads(done.stdout)]
