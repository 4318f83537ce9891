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


HANGING = """
import asyncio, time
import kopf
from llmi_operator import __main__ as program

program.HARD_EXIT_SECONDS = 0.5

async def hang(*, memo, **_):
    memo.stop.set()
    await asyncio.sleep(0)
    time.sleep(60)  # not even the event loop goes on

async def find_nothing(_):
    return ()

kopf.operator = hang
program.find_watched = find_nothing
program.main()
"""


def test_a_process_that_hangs_on_its_way_out_is_ended_all_the_same():
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 4
