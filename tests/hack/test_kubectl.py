"""kubectl is given the time that it was told to wait, and room to say what it has seen by then."""

import subprocess
from pathlib import Path

import pytest

import kubectl
from kubectl import TIMEOUT_SECONDS, Kubectl
from problems import CommandFailed


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (("get", "pods"), TIMEOUT_SECONDS),
        (("rollout", "status", "deployment/a", "--timeout=180s"), TIMEOUT_SECONDS + 180),
    ],
)
def test_it_is_waited_for_as_long_as_it_may_wait_itself(words, seconds, monkeypatch):
    given = []

    def run(argv, *, timeout, **_):
        given.append(timeout)
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(kubectl.subprocess, "run", run)
    with pytest.raises(CommandFailed, match=f"no answer within {seconds:.0f} s"):
        Kubectl(Path("kubectl"), None)(*words)
    assert given == [seconds]
