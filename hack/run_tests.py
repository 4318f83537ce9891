"""Runs tiers of tests and tells what ran, what was skipped and why: ``python hack/run_tests.py unit cluster``.

Tiers that a plus sign joins, as in ``apiserver+faults``, run side by side: their tests wait more than they compute.
``PYTEST_ARGS`` is added to every run of pytest. Exit code 1: a test failed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import gobuild
import kind_cluster
import monitoring
import monitoring_images
import search_engine
import triton_program
import vllm_image
from deploy import up
from mode import Mode
from problems import MissingTool, NoDocker, Problem
from steps import Step, run_steps, say, sh, tell_and_exit

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "test"
TIERS = {
    "unit": (
        "tests/api",
        "tests/operator",
        "tests/kubectl",
        "tests/server",
        "tests/contract",
        "tests/hack",
        "tests/bench",
    ),
    "observability": ("tests/observability",),
    "apiserver": ("tests/apiserver",),
    "faults": ("tests/faults",),
    "cluster": ("tests/cluster",),
    "gpu": ("tests/gpu",),
    "telemetry": ("tests/telemetry",),
    "engines": ("tests/operator/plan/engines", "tests/cluster/test_vllm.py", "tests/cluster/test_engines.py"),
    "soak": ("tests",),
}
NO_TESTS = 5


@dataclass
class Outcome:
    """What came of one tier."""

    tier: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    problem: str = ""


def run_together(tiers: Sequence[str]) -> list[Outcome]:
    """Prepare what tiers need, one after another, run them side by side, and read their reports.

    The first shows its progress; what the others print comes when they have ended.
    """
    outcomes = [_prepared(tier) for tier in tiers]
    able = [one for one in outcomes if not (one.problem or one.skipped)]
    if able:
        say(f"\n== {' and '.join(one.tier for one in able)}")
    with ThreadPoolExecutor(max_workers=len(tiers)) as pool:
        logs = [None, *(REPORTS / f"{one.tier}.log" for one in able[1:])]
        list(pool.map(_pytest, able, logs))
    for one, log in zip(able, logs, strict=False):
        if log is not None:
            print(f"\n== {one.tier}, which ran meanwhile\n{log.read_text(errors='replace')}", flush=True)
    return outcomes


def _prepared(tier: str) -> Outcome:
    started, outcome = time.monotonic(), Outcome(tier)
    say(f"\n== what {tier} needs")
    try:
        _prepare(tier)
    except (MissingTool, NoDocker) as absent:
        say(f"error: {absent}")
        if os.environ.get("CI"):
            outcome.problem = absent.what.splitlines()[0]  # a CI that proves nothing must not be green
        else:
            outcome.skipped[f"the whole tier: {absent.what.splitlines()[0]}"] += 1
    except Problem as problem:
        say(f"error: {problem}")
        outcome.problem = problem.what.splitlines()[0]
    outcome.seconds = time.monotonic() - started
    return outcome


def _prepare(tier: str) -> None:
    """Make what a tier needs, with progress: a test that waited for it would run into its own time limit."""
    if tier in {"observability", "soak"}:
        run_steps([monitoring.step()])
    if tier == "unit" and not triton_program.program().is_built():
        run_steps([triton_program.step()])
    if tier in {"faults", "soak"}:
        _build(gobuild.kubernetes())
    if tier == "soak":
        _build(gobuild.keda(), gobuild.dra_driver())
    if tier == "apiserver":
        if monitoring.is_to_be_had():  # where it is not, only the tests of alerts are left out, and say so
            run_steps([monitoring.step()])
        _build(gobuild.kubernetes(), gobuild.judge(), gobuild.helm(4), gobuild.helm(3), gobuild.state_metrics())
    if tier == "telemetry":
        _build(gobuild.kubernetes(), gobuild.collector(), gobuild.jaeger())
        _build(gobuild.prometheus(), gobuild.prometheus_operator())
        run_steps([search_engine.step()])
    if tier == "engines":
        run_steps([Step("vLLM as a process", _install_vllm)])
        up(Mode(os.environ.get("CLUSTER_MODE", "auto")), workers=None)
        run_steps(vllm_image.steps(kind_cluster.mode_of(kind_cluster.nodes())))
    if tier == "cluster":
        offline = up(Mode(os.environ.get("CLUSTER_MODE", "auto")), workers=None)
        monitoring_programs = monitoring_images.programs() if offline else ()
        _build(gobuild.helm(4), gobuild.helm(3), *monitoring_programs)


def _install_vllm(log: Path) -> None:
    sh([sys.executable, ROOT / "bench" / "peers.py", "vllm"], log, {"PYTHONPATH": str(ROOT / "hack")})


def _build(*programs: gobuild.Programs) -> None:
    for one in programs:  # after one another: each build uses all cores
        if not one.artifact.is_built():
            run_steps([one.step()])


def _pytest(outcome: Outcome, log: Path | None) -> None:
    """Run a tier's tests and count them; what pytest prints goes to a log, or to whoever watches."""
    started, tier = time.monotonic(), outcome.tier
    report = REPORTS / f"{tier}.xml"
    report.unlink(missing_ok=True)
    # What takes minutes and more each belongs to the tier that is for it.
    argv = [
        sys.executable,
        "-m",
        "pytest",
        *TIERS[tier],
        "-m",
        "soak" if tier in {"soak", "engines"} else "not soak",
        f"--junitxml={report}",
        "-o",
        "junit_family=xunit1",
    ]
    argv += [*shlex.split(os.environ.get("PYTEST_ARGS", "")), "-q"]
    # Folders of its own: of those of all runs pytest keeps the newest three, whoever still works in an older one.
    folders = Path(tempfile.gettempdir(), f"llmi-test-{os.getuid()}-{tier}")
    folders.mkdir(exist_ok=True)
    env = {**os.environ, "PYTEST_DEBUG_TEMPROOT": str(folders)}
    if tier == "soak":  # what is tested at random draws other examples each time
        env.setdefault("LLMI_TEST_SEED", "new")
    with nullcontext() if log is None else log.open("wb") as output:
        code = subprocess.run(argv, cwd=ROOT, check=False, env=env, stdout=output, stderr=output).returncode
    if report.exists():
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
            _count(case, outcome)
    if code not in {0, 1, NO_TESTS}:
        outcome.problem = f"pytest ended with {code}"
    outcome.seconds += time.monotonic() - started


def _count(case: ET.Element, outcome: Outcome) -> None:
    skipped = case.find("skipped")
    if skipped is not None:
        outcome.skipped[skipped.get("message", "no reason given")] += 1
    elif case.find("failure") is not None or case.find("error") is not None:
        outcome.failed += 1
    else:
        outcome.passed += 1


def summary(outcomes: list[Outcome]) -> str:
    """Render the table of tiers, the reasons of what was skipped, and the closing line."""
    rows = ["tier           passed  failed  skipped  seconds"]
    for one in outcomes:
        counts = f"{one.passed:6}  {one.failed:6}  {one.skipped.total():7}  {one.seconds:7.0f}"
        rows.append(f"{one.tier:13}  {counts}" + (f"  could not run: {one.problem}" if one.problem else ""))
        rows += [f"               {count} skipped: {reason}" for reason, count in one.skipped.items()]
    passed, skipped = sum(one.passed for one in outcomes), sum(one.skipped.total() for one in outcomes)
    failed = sum(one.failed + bool(one.problem) for one in outcomes)
    return "\n".join([*rows, "", f"{passed} passed, {failed} failed, {skipped} skipped"])


def _together(text: str) -> list[str]:
    tiers = text.split("+")
    if unknown := sorted(set(tiers) - set(TIERS)):
        raise argparse.ArgumentTypeError(f"there is no tier {unknown[0]!r}; there are {', '.join(TIERS)}")
    return tiers


def main() -> int:
    """Entry point of ``make test``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiers", nargs="+", type=_together, metavar="TIER[+TIER]", help=", ".join(TIERS))
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = [outcome for tiers in parser.parse_args().tiers for outcome in run_together(tiers)]
    print(f"\n{summary(outcomes)}", flush=True)
    return int(any(one.failed or one.problem for one in outcomes))


if __name__ == "__main__":
    tell_and_exit(main)
