"""A kubectl that is played."""

import os

import pytest


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """Puts a program called kubectl on PATH that does what a test says, and notes its arguments, a line a call."""

    def make(script):
        program = tmp_path / "kubectl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "arguments"

    return make
