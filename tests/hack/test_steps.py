"""The step runner: order, side by side, failure."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from problems import NoDocker
from progress import PlainProgress
from steps import Step, StepFailed, pause, run_steps, sh


class Silent(PlainProgress):
    """Keeps lines instead of printing them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_step_runs_after_those_it_names(tmp_path: Path) -> None:
    order: list[str] = []

    def note(name: str) -> Step:
        return Step(name, lambda _: order.append(name), after={"c": ("a", "b"), "b": ("a",)}.get(name, ()))

    run_steps([note("c"), note("b"), note("a")], tmp_path, Silent())
    assert order == ["a", "b", "c"]


def test_independent_steps_run_side_by_side(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=60)  # broken, and so a failure, unless both arrive
    run_steps(
        [Step("one", lambda _: both.wait() and None), Step("two", lambda _: both.wait() and None)], tmp_path, Silent()
    )


def test_a_step_is_skipped_only_when_asked_after_its_dependencies(tmp_path: Path) -> None:
    made: list[str] = []
    steps = [
        Step("make", lambda _: made.append("made")),
        Step("use", lambda _: made.append("used"), after=("make",), skip_if=lambda: "made" in made),
    ]
    run_steps(steps, tmp_path, Silent())
    assert made == ["made"]


def test_a_failure_names_the_step_and_shows_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; [print(f'line {n}') for n in range(50)]; sys.exit(3)"
    with pytest.raises(StepFailed) as caught:
        run_steps(
            [Step("Bad step", lambda log: sh(python(code), log), remedy="turn it off and on")], tmp_path, Silent()
        )
    text = str(caught.value)
    assert "Step “Bad step” failed" in text
    assert "ended with 3" in text
    assert "line 49" in text
    assert "line 29" not in text, "only the last twenty lines"
    assert "turn it off and on" in text
    assert (tmp_path / "bad-step.log").exists()


def test_a_failure_keeps_what_follows_from_starting_and_stops_what_runs(tmp_path: Path) -> None:
    started = threading.Event()
    ended: list[BaseException] = []
    late: list[str] = []

    def long(log: Path) -> None:
        started.set()
        try:
            sh(python("import time; time.sleep(600)"), log)
        except BaseException as error:
            ended.append(error)
            raise

    def fail(_: Path) -> None:
        started.wait(60)
        raise OSError("no more")

    with pytest.raises(StepFailed, match="no more"):
        run_steps(
            [Step("long", long), Step("fail", fail), Step("late", lambda _: late.append("x"), ("fail",))],
            tmp_path,
            Silent(),
        )
    assert len(ended) == 1
    assert late == []


def test_a_step_that_waits_ends_when_another_fails(tmp_path: Path) -> None:
    waiting = threading.Event()

    def wait(_: Path) -> None:
        waiting.set()
        pause(600)

    def fail(_: Path) -> None:
        waiting.wait(60)
        raise OSError("no more")

    with pytest.raises(StepFailed, match="no more"):
        run_steps([Step("wait", wait), Step("fail", fail)], tmp_path, Silent())


def test_the_exit_code_is_that_of_the_problem(tmp_path: Path) -> None:
    def no_docker(_: Path) -> None:
        raise NoDocker("none", "install it")

    with pytest.raises(StepFailed) as caught:
        run_steps([Step("Docker", no_docker)], tmp_path, Silent())
    assert caught.value.exit_code == 3
    assert "install it" in str(caught.value)


@pytest.mark.parametrize("after", [("missing",), ("b",)])
def test_steps_that_could_never_start_are_refused_before_any_runs(tmp_path: Path, after: tuple[str, ...]) -> None:
    ran: list[str] = []
    steps = [
        Step("free", lambda _: ran.append("free")),
        Step("a", lambda _: None, after),
        Step("b", lambda _: None, ("a",)),
    ]
    with pytest.raises(ValueError, match="a, b"):
        run_steps(steps, tmp_path, Silent())
    assert ran == []


def test_plain_progress_tells_start_and_end_and_nothing_of_what_was_cached(tmp_path: Path) -> None:
    shown = Silent()
    run_steps([Step("work", lambda _: None), Step("cached", lambda _: None, skip_if=lambda: True)], tmp_path, shown)
    assert shown.lines == ["work …", "work: done in 0 s"]
