"""Our front of vLLM, around a pretended application."""

import asyncio
import json
import logging
import os
import subprocess
import sys

import pytest

from llmi_operator.inside import vllm_front
from llmi_operator.inside.vllm_front import Front, Report

OK = [{"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body", "body": b"yes"}]
ENOUGH = 60


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMI_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LLMI_PRE_STOP_SECONDS", "0")
    monkeypatch.setenv("LLMI_DRAIN_SECONDS", str(ENOUGH))
    monkeypatch.setattr(vllm_front, "LOOK_SECONDS", 0.01)
    return tmp_path / "state"


class App:
    """Answers once it is let go; tells when it is asked."""

    def __init__(self, messages=OK, *, held=False):
        self.messages = messages
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def __call__(self, scope, receive, send):
        self.asked.set()
        first, *rest = self.messages
        if scope["path"] == "/quick":
            await send(first)
        elif rest and rest[0].get("more_body"):
            await send(first)
            await send(rest[0])
            await self.go.wait()
        else:
            await self.go.wait()
            await send(first)
        for message in rest:
            await send(message)


async def ask(front, path="/v1/models", *, key=""):
    """The messages of an answer."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    headers = [(b"authorization", key.encode())] if key else []
    await front({"type": "http", "path": path, "headers": headers}, receive, send)
    return sent


def status(sent):
    return sent[0]["status"]


def headers(sent):
    return dict(sent[0]["headers"])


async def until(holds):
    async with asyncio.timeout(ENOUGH):
        while not await holds():  # noqa: ASYNC110 - what is waited for is seen in answers and files
            await asyncio.sleep(0.01)


async def is_gone(state):
    return not list(state.glob("serving-*"))


@pytest.fixture
def keys(tmp_path, monkeypatch):
    path = tmp_path / "keys"
    path.write_text("first\nsecond\n")
    monkeypatch.setenv("LLMI_API_KEY_FILE", str(path))
    return path


@pytest.mark.parametrize("key", ["Bearer first", "bearer second "])
async def test_a_request_with_one_of_the_keys_passes(keys, key):
    assert status(await ask(Front(App()), key=key)) == 200


@pytest.mark.parametrize("path", ["/v1/models", "/invocations", "/pooling", "/docs"])
@pytest.mark.parametrize("key", ["", "first", "Bearer third", "Bearer ", "Bearer first second"])
async def test_no_path_is_open_without_a_key(keys, path, key):
    sent = await ask(Front(App()), path, key=key)
    assert status(sent) == 401
    assert json.loads(sent[1]["body"])["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/health", "/metrics"])
async def test_health_and_metrics_need_no_key(keys, path):
    assert status(await ask(Front(App()), path)) == 200


async def test_a_key_file_that_is_gone_closes_the_server(keys):
    keys.unlink()
    assert status(await ask(Front(App()), key="Bearer first")) == 401


async def test_a_key_that_is_added_opens_it_without_a_restart(keys):
    front = Front(App())
    keys.write_text("third\n")
    assert status(await ask(front, key="Bearer third")) == 200


async def test_an_answer_that_takes_too_long_is_a_504(monkeypatch):
    monkeypatch.setenv("LLMI_REQUEST_TIMEOUT_SECONDS", "0.05")
    sent = await ask(Front(App(held=True)))
    assert status(sent) == 504
    assert headers(sent)[b"retry-after"] == b"1"


async def test_a_stream_that_takes_too_long_ends_without_its_end(monkeypatch):
    monkeypatch.setenv("LLMI_REQUEST_TIMEOUT_SECONDS", "0.05")
    stream = [OK[0], {"type": "http.response.body", "body": b"half", "more_body": True}]
    sent = await ask(Front(App(stream, held=True)))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"]


async def test_a_refusal_for_overload_says_when_to_try_again():
    busy = [{"type": "http.response.start", "status": 503, "headers": []}, OK[1]]
    assert headers(await ask(Front(App(busy))))[b"retry-after"] == b"1"


async def test_while_it_serves_connections_stay_open():
    assert b"connection" not in headers(await ask(Front(App())))


async def test_once_it_leaves_connections_end_with_their_next_answer(state, monkeypatch):
    monkeypatch.setenv("LLMI_PRE_STOP_SECONDS", str(ENOUGH))
    front = Front(App())
    await ask(front, "/health")
    (state / "leaving").touch()

    async def closes():
        return headers(await ask(front)).get(b"connection") == b"close"

    await until(closes)


async def test_what_is_in_flight_is_finished_and_what_comes_late_hears_503(state):
    app = App(held=True)
    front = Front(app)
    held = asyncio.create_task(ask(front))
    await app.asked.wait()
    (state / "leaving").touch()

    async def refuses():
        sent = await ask(front, "/quick")
        return status(sent) == 503 and json.loads(sent[1]["body"])["error"]["code"] == "shutting_down"

    await until(refuses)
    assert list(state.glob("serving-*"))
    app.go.set()
    assert status(await held) == 200
    await until(lambda: is_gone(state))


async def test_what_is_in_flight_after_the_drain_is_cut_and_not_answered_by_half(state, monkeypatch):
    monkeypatch.setenv("LLMI_DRAIN_SECONDS", "0.05")
    app = App(held=True)
    front = Front(app)
    held = asyncio.create_task(ask(front))
    await app.asked.wait()
    (state / "leaving").touch()
    assert status(await asyncio.wait_for(held, ENOUGH)) == 503
    await until(lambda: is_gone(state))


async def test_a_new_start_in_the_same_pod_forgets_the_last_ones_end(state):
    state.mkdir()
    (state / "leaving").touch()
    front = Front(App())
    assert status(await ask(front)) == 200
    assert not front.is_leaving


async def test_a_failure_of_the_application_is_its_own():
    async def app(scope, receive, send):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await ask(Front(app))


def run_hook(state):
    return subprocess.Popen([sys.executable, vllm_front.__file__], env={**os.environ, "LLMI_STATE_DIR": str(state)})


def test_the_hook_returns_at_once_where_nothing_serves_yet(state):
    assert run_hook(state).wait(ENOUGH) == 0
    assert (state / "leaving").exists()


def test_the_hook_waits_for_a_living_server_and_not_for_a_dead_one(state):
    state.mkdir()
    (state / "serving-99999999").touch()
    mark = state / f"serving-{os.getpid()}"
    mark.touch()
    hook = run_hook(state)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            hook.wait(0.5)
        mark.unlink()
        assert hook.wait(ENOUGH) == 0
    finally:
        hook.kill()


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    path = tmp_path / "termination"
    monkeypatch.setenv("LLMI_TERMINATION_MESSAGE_PATH", str(path))
    logger = logging.getLogger("pretended vllm")
    handler = Report()
    logger.addHandler(handler)
    yield logger, path
    logger.removeHandler(handler)


def test_an_error_is_one_line_with_its_cause_and_without_its_traceback(report):
    logger, path = report
    logger.error("EngineCore failed to start.", exc_info=ValueError("no room\nfor one request"))
    assert path.read_text() == "EngineCore failed to start. ValueError: no room for one request\n"


def test_what_ends_the_process_is_noted_but_for_what_another_line_tells(report, capsys):
    _, path = report
    for text in ("Engine core initialization failed. See root cause above.", "bad"):
        sys.excepthook(RuntimeError, RuntimeError(text), None)
    assert path.read_text() == "RuntimeError: bad\n"
    assert "See root cause above" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "Dumping input data for V1 LLM engine (v0.32.0) with config: model='/model'",
        "Dumping scheduler output for model execution: SchedulerOutput(scheduled_new_reqs=[])",
        "EngineCore failed to start. Exception: WorkerProc initialization failed. See stack trace for root cause.",
        "AsyncLLM output_handler failed. EngineDeadError: EngineCore encountered an issue. See stack trace (above)",
    ],
)
def test_a_dump_of_its_state_is_not_noted(report, words):
    logger, path = report
    logger.error("WorkerProc hit an exception.")
    logger.error(words)
    assert path.read_text() == "WorkerProc hit an exception.\n"


def test_a_report_stays_small(report):
    logger, path = report
    for _ in range(100):
        logger.error("x" * 5000)
    assert path.stat().st_size <= vllm_front.LARGEST_REPORT + vllm_front.LONGEST_LINE + 1


def test_it_runs_where_nothing_but_python_is_installed():
    code = f"import runpy; runpy.run_path({vllm_front.__file__!r})"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False).returncode == 0
