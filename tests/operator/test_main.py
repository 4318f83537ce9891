import os
import subprocess
import sys

import pytest


def run(*arguments, **variables):
    argv = [sys.executable, "-m", "llmi_operator", *arguments]
    return subprocess.run(argv, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--verzion"], {}, "did you mean --version?"),
        ([], {"LLMI_OPERATOR_NAMESPACE": "x"}, "did you mean LLMI_OPERATOR_NAMESPACES?"),
        ([], {"LLMI_OPERATOR_LOG_LEVEL": "loud"}, "LLMI_OPERATOR_LOG_LEVEL"),
    ],
)
def test_a_wrong_start_is_refused_with_its_own_exit_status(arguments, variables, words):
    done = run(*arguments, **variables)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_every_setting():
    assert "LLMI_OPERATOR_SERVER_IMAGE=" in run("--help").stdout
