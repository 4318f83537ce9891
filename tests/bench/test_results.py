import dataclasses

import pytest

import report
import results
from experiments import Pair, Round
from rows import ROWS, Figure


def measured(*rounds):
    return [Round(pairs={Figure.TOKENS: Pair(ours, other)}, strangers=used) for ours, other, used in rounds]


def test_a_round_that_strangers_disturbed_does_not_count():
    result = results.summarised("bert-c8", Figure.TOKENS, measured((200, 100, 0.1), (100, 100, 1.2), (180, 100, 0.0)))
    assert result.values == [2.0, 1.8]
    assert result.quiet
    assert result.all_rounds == 3


def test_where_no_round_was_quiet_all_count_and_the_report_says_so():
    result = results.summarised("bert-c8", Figure.TOKENS, measured((200, 100, 0.5), (150, 100, 0.9)))
    assert result.values == [2.0, 1.5]
    assert "unsettled" in report.brief(result)
    assert "none quiet" in report.brief(result)


def test_a_result_comes_back_as_it_was_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    result = results.summarised("bert-c8", Figure.TOKENS, measured((200, 100, 0.1)))
    results.keep(result)
    assert results.kept(ROWS) == [dataclasses.replace(result, values=list(result.values))]


@pytest.mark.parametrize(("ours", "verdict"), [(190, "aim"), (170, "must"), (110, "**missed**")])
def test_the_report_says_what_is_reached(ours, verdict):
    result = results.summarised("bert-c8", Figure.TOKENS, measured((ours, 100, 0)))
    assert f"| {verdict} | {ours} tokens/s | 100 tokens/s |" in report.rendered([result])


def test_less_is_better_where_time_is_measured():
    row = ROWS["bert-c1-p50"]
    assert row.reaches(0.5, row.aim)
    assert not row.reaches(0.71, row.must)


def test_the_report_says_why_a_row_is_missing():
    assert "vllm is not installed" in report.rendered([results.not_run("bert-c8-vllm", "vllm is not installed")])
