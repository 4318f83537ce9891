"""The command as a process: whatever fails is a sentence and an exit status."""

import os
import subprocess
import sys

import pytest

from llmi_testing.own_modules import with_own_modules

UNREACHABLE = """\
apiVersion: v1
kind: Config
current-context: nowhere
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: me, user: {}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: me}}]
"""


@pytest.fixture
def run(tmp_path):
    def run(*words, **more):
        environment = with_own_modules({**os.environ, "KUBECONFIG": str(tmp_path / "absent"), **more})
        argv = [sys.executable, "-m", "llmi_kubectl", *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, check=False)

    return run


def test_without_a_kubeconfig_it_says_so_in_one_line(run):
    done = run("status", "bert")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("error: The kubeconfig cannot be used (")


def test_an_api_server_that_is_not_there_is_named(run, tmp_path):
    (tmp_path / "config").write_text(UNREACHABLE)
    done = run("status", "bert", "--kubeconfig", str(tmp_path / "config"))
    assert done.returncode == 1
    assert "The API server at http://127.0.0.1:9 does not answer" in done.stderr
    assert "Traceback" not in done.stderr
