"""The summary of a test run counts what ran, what was skipped and why, and what could not run at all."""

import sys
from collections import Counter

import pytest

import run_tests
from run_tests import Outcome, summary


def test_the_last_line_adds_up_all_tiers():
    outcomes = [Outcome("unit", passed=7, failures=["a: b"]), Outcome("gpu", skipped=Counter({"no CUDA device": 3}))]
    assert summary(outcomes).splitlines()[-1] == "7 passed, 1 failed, 3 skipped"


def test_what_failed_is_named_again_at_the_end(tmp_path, monkeypatch, capfd):
    (tmp_path / "test_bad.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef late():\n    yield\n    raise ValueError('too\\nlate')\n"
        "def test_wrong():\n    assert 1 == 2\n"
        "def test_right(late):\n    pass\n"
    )
    monkeypatch.setattr(run_tests, "REPORTS", tmp_path)
    monkeypatch.setattr(run_tests, "TIERS", {"one": (str(tmp_path / "test_bad.py"),)})
    monkeypatch.setattr(sys, "argv", ["run_tests.py", "one"])
    assert run_tests.main() == 1
    *_, wrong, late, empty, total = capfd.readouterr().out.splitlines()
    assert wrong.startswith("failed: ")
    assert wrong.endswith("test_bad.py::test_wrong: assert 1 == 2")
    assert "test_bad.py::test_right: " in late
    assert "too" in late
    assert (empty, total) == ("", "0 passed, 2 failed, 0 skipped")


def test_a_skip_is_told_with_its_reason():
    assert "3 skipped: no CUDA device" in summary([Outcome("gpu", skipped=Counter({"no CUDA device": 3}))])


def test_a_tier_that_could_not_run_counts_as_a_failure():
    text = summary([Outcome("cluster", problem="No Docker answers")])
    assert "could not run: No Docker answers" in text
    assert text.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


@pytest.fixture
def two_tiers(tmp_path, monkeypatch):
    """Tiers of one test each; either waits until the other's is under way too."""
    for name, other in (("one", "two"), ("two", "one")):
        code = (
            "import pathlib, time\n"
            f"def test_{name}():\n"
            f"    here = pathlib.Path({str(tmp_path)!r})\n"
            f"    (here / '{name}').touch()\n"
            "    until = time.monotonic() + 60\n"
            f"    while not (here / '{other}').exists():\n"
            "        assert time.monotonic() < until\n"
            "        time.sleep(0.05)\n"
        )
        (tmp_path / f"test_{name}.py").write_text(code)
    monkeypatch.setattr(run_tests, "REPORTS", tmp_path)
    monkeypatch.setattr(run_tests, "TIERS", {name: (str(tmp_path / f"test_{name}.py"),) for name in ("one", "two")})


def test_tiers_that_a_plus_sign_joins_run_side_by_side_and_both_are_counted_and_shown(two_tiers, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["run_tests.py", "one+two"])
    assert run_tests.main() == 0
    shown = capfd.readouterr().out
    assert "== two, which ran meanwhile" in shown
    assert shown.count("1 passed in") == 2
    assert shown.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"


def test_an_unknown_tier_is_refused_with_those_that_there_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_tests.py", "unit+unti"])
    with pytest.raises(SystemExit):
        run_tests.main()
    assert "there is no tier 'unti'; there are unit," in capsys.readouterr().err
