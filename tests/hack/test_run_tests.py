"""The summary of a test run counts what ran, what was skipped and why, and what could not run at all."""

from collections import Counter

from run_tests import Outcome, summary


def test_the_last_line_adds_up_all_tiers():
    outcomes = [Outcome("unit", passed=7, failed=1), Outcome("gpu", skipped=Counter({"no CUDA device": 3}))]
    assert summary(outcomes).splitlines()[-1] == "7 passed, 1 failed, 3 skipped"


def test_a_skip_is_told_with_its_reason():
    assert "3 skipped: no CUDA device" in summary([Outcome("gpu", skipped=Counter({"no CUDA device": 3}))])


def test_a_tier_that_could_not_run_counts_as_a_failure():
    text = summary([Outcome("cluster", problem="No Docker answers")])
    assert "could not run: No Docker answers" in text
    assert text.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
