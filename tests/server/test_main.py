"""The command line as a container runs it: exit codes, the termination message, signals."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from llmi_api.failure import EXIT_CODES, FailureCode, FetchReport
from llmi_testing.free_ports import free_port
from llmi_testing.hub import Behaviour, running_hub
from llmi_testing.models import small_model

SERVE = {"LLMI_MODEL_NAME": "m", "LLMI_TASK": "fill-mask", "LLMI_HOST": "127.0.0.1"}


@pytest.fixture
def message(tmp_path):
    return tmp_path / "termination"


def start(command, message, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LLMI_")}
    ours = {"LLMI_TERMINATION_MESSAGE_PATH": str(message), **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "llmi_server", *command],
        env=clean | ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(command, message, **environment):
    process = start(command, message, **environment)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def assert_failure(result, message, code):
    status, _, stderr = result
    assert status == EXIT_CODES[code]
    left = json.loads(message.read_text())
    assert left["code"] == code
    logged = json.loads(stderr.strip().splitlines()[-1])
    assert (logged["code"], logged["message"], logged["next"]) == (code, left["message"], left["next"])
    assert "Traceback" not in stderr
    return left["message"]


def test_an_unknown_setting_is_refused_in_log_and_termination_message(message):
    result = run(["serve"], message, **SERVE, LLMI_TASKS="x")
    text = assert_failure(result, message, FailureCode.INVALID_SETTINGS)
    assert text == "LLMI_TASKS is not a setting; did you mean LLMI_TASK?"


def test_an_unknown_command_is_refused(message):
    assert_failure(run(["server"], message), message, FailureCode.INVALID_SETTINGS)


def test_help_is_help():
    status, stdout, _ = run(["--help"], "/nowhere/x")
    assert status == 0
    assert "LLMI_MODEL_NAME" in stdout


def test_a_missing_model_ends_the_server_with_its_code(message, tmp_path):
    result = run(["serve"], message, **SERVE, LLMI_PORT=str(free_port()), LLMI_MODEL_DIR=str(tmp_path))
    assert_failure(result, message, FailureCode.MODEL_NOT_FOUND)


def test_a_fetch_leaves_its_report(message, tmp_path):
    root = small_model("bert", "fill-mask").parent
    name = small_model("bert", "fill-mask").name
    target = tmp_path / "model"
    with running_hub(root) as hub:
        status, _, stderr = run(
            ["fetch", "--model-dir", str(target)], message, LLMI_MODEL_ID=name, LLMI_HUB_ENDPOINT=hub.url
        )
    assert status == 0, stderr
    report = FetchReport.model_validate_json(message.read_text())
    assert report.bytes == sum(
        path.stat().st_size for path in target.iterdir() if path.suffix != ".json" or path.name[0] != "."
    )
    assert all(json.loads(line)["log.level"] == "info" for line in stderr.splitlines())


def test_a_refused_fetch_leaves_its_failure_and_never_the_token(message, tmp_path):
    token = tmp_path / "token"
    token.write_text("hf_canary")
    root = small_model("bert", "fill-mask").parent
    name = small_model("bert", "fill-mask").name
    with running_hub(root, {name: Behaviour(token="other")}) as hub:
        result = run(
            ["fetch"],
            message,
            LLMI_MODEL_ID=name,
            LLMI_HUB_ENDPOINT=hub.url,
            LLMI_HUB_TOKEN_FILE=str(token),
            LLMI_MODEL_DIR=str(tmp_path / "model"),
            LLMI_LOG_LEVEL="debug",
        )
    assert_failure(result, message, FailureCode.TOKEN_REFUSED)
    assert "hf_canary" not in result[1] + result[2] + message.read_text()


def test_a_fetch_needs_no_torch_and_no_web_framework():
    script = (
        "import sys, llmi_server.__main__, llmi_server.model.fetch; "
        "print(sorted({'torch', 'transformers', 'fastapi', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_server_is_live_at_once_ready_after_an_answer_and_ends_with_0_on_sigterm(message):
    port = str(free_port())
    process = start(["serve"], message, **SERVE, LLMI_PORT=port, LLMI_MODEL_DIR=str(small_model("bert", "fill-mask")))
    try:
        seen = watch(port, process)
        assert seen[0] == ("livez", 200)
        assert ("readyz", 503) in seen
        assert seen[-1] == ("readyz", 200)
        answer = httpx.post(f"http://127.0.0.1:{port}/", json={"inputs": "Snow is [MASK]. canary-prompt"})
        assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert "canary-prompt" not in stderr
    messages = [json.loads(line)["message"] for line in stderr.splitlines()]
    assert messages.index("Server listening") < messages.index("Model ready") < messages.index("Drained")
    assert not message.exists()


def test_a_second_signal_ends_the_server_at_once(message):
    port = str(free_port())
    process = start(["serve"], message, **SERVE, LLMI_PORT=port, LLMI_MODEL_DIR=str(small_model("bert", "fill-mask")))
    try:
        watch(port, process)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 503)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
        messages = [json.loads(line)["message"] for line in stderr.splitlines()]
        assert "Second signal, exiting at once" in messages
        assert "Drained" not in messages
    finally:
        process.kill()


def watch(port, process):
    """Ask the probes until the server is ready; returns each new answer in order."""
    seen = []

    def ready():
        assert process.poll() is None, process.stderr.read()
        for path in ("livez", "readyz"):
            try:
                answer = (path, httpx.get(f"http://127.0.0.1:{port}/{path}").status_code)
            except httpx.TransportError:
                return False
            if answer not in seen:
                seen.append(answer)
        return seen[-1] == ("readyz", 200)

    wait_until(ready)
    return seen


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
