from pathlib import Path

import pytest

from llmi_kubectl.arguments import Output, read_arguments


def test_help_lists_the_commands_and_the_exit_statuses(capsys):
    with pytest.raises(SystemExit) as ended:
        read_arguments(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for word in ("status", "plan", "try", "logs", "exit statuses:"):
        assert word in text


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["stat", "bert"],
        ["plan"],
        ["logs", "bert", "--tail", "0"],
        ["status", "bert", "-o", "yaml"],
        *(["status", "bert", "--advise-after", time] for time in ("59s", "61m", "2h", "0m", "1", "m", "1.5m", "1m1")),
    ],
)
def test_a_command_line_that_makes_no_sense_is_answered_with_usage(words, capsys):
    with pytest.raises(SystemExit) as ended:
        read_arguments(words)
    assert ended.value.code == 2
    assert "usage: kubectl llminference" in capsys.readouterr().err


def test_flags_go_after_the_name_too_and_reach_kubectl_where_it_is_called():
    given = read_arguments(["try", "bert", "-n", "models", "--context", "prod", "--text", "x", "-o", "json"])
    assert (given.name, given.namespace, given.text, given.output) == ("bert", "models", "x", Output.JSON)
    assert given.kubectl_flags == ("--context=prod",)
    assert read_arguments(["plan", "-f", "a.yaml"]).file == Path("a.yaml")
    assert read_arguments(["logs", "bert", "-f"]).follow


@pytest.mark.parametrize(
    ("words", "seconds"), [([], 3600), (["1m"], 60), (["90s"], 90), (["15m"], 900), (["60m"], 3600), (["1h"], 3600)]
)
def test_advice_takes_an_hour_unless_a_shorter_time_is_asked_for(words, seconds):
    flags = ["--advise-after", *words] if words else []
    assert read_arguments(["status", "bert", *flags]).advise_after == seconds
