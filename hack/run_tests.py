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

import needs
from problems import MissingTool, NoDocker, Problem
from steps import say, tell_and_exit

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
PATIENT = frozenset({"unit", "observability"})
"""Tiers beside which something may be built: the others' tests say how soon something must have happened."""
NO_TESTS = 5
REASON_LENGTH = 300


@dataclass
class Outcome:
    """What came of one tier."""

    tier: str
    seconds: float = 0.0
    passed: int = 0
    failures: list[str] = field(default_factory=list)
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
        needs.prepare(tier)
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
        return
    wrong = [*case.iter("failure"), *case.iter("error")]
    if not wrong:
        outcome.passed += 1
    for element in wrong:
        reason = (element.get("message") or "no reason given").splitlines()[0][:REASON_LENGTH]
        outcome.failures.append(f"{case.get('file', '?')}::{case.get('name')}: {reason}")


def summary(outcomes: list[Outcome]) -> str:
    """Render the table of tiers, the reasons of what was skipped, what failed, and the closing line.

    Who reads the end of a long log reads this, and nothing of what pytest has said an hour before.
    """
    rows = ["tier           passed  failed  skipped  seconds"]
    for one in outcomes:
        counts = f"{one.passed:6}  {len(one.failures):6}  {one.skipped.total():7}  {one.seconds:7.0f}"
        rows.append(f"{one.tier:13}  {counts}" + (f"  could not run: {one.problem}" if one.problem else ""))
        rows += [f"               {count} skipped: {reason}" for reason, count in one.skipped.items()]
    passed, skipped = sum(one.passed for one in outcomes), sum(one.skipped.total() for one in outcomes)
    failed = sum(len(one.failures) + bool(one.problem) for one in outcomes)
    rows += [f"failed: {failure}" for one in outcomes for failure in one.failures]
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
    asked = parser.parse_args().tiers
    outcomes: list[Outcome] = []
    for place, tiers in enumerate(asked):
        later = [tier for others in asked[place + 1 :] for tier in others]
        with needs.made_meanwhile(later if PATIENT.issuperset(tiers) else []):
            outcomes += run_together(tiers)
    print(f"\n{summary(outcomes)}", flush=True)
    return int(any(one.failures or one.problem for one in outcomes))


if __name__ == "__main__":
    tell_and_exit(main)
