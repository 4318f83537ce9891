"""A real Triton on a repository of the user's own: as it is, watched, drained, and told in words when it is refused."""

import json
import os
import signal
import threading
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import tritonclient.http as client

from llmi_api.failure import EXIT_CODES, FailureCode
from llmi_api.launch import Task
from llmi_operator.plan.engines.transformers import make_environment
from llmi_server.errors import StartupError
from llmi_server.settings import TritonSettings, read_settings
from llmi_server.triton import repository
from llmi_server.triton.repository import find_reason, is_repository, serve_repository
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_resource
from llmi_testing.triton import running_triton, start_triton, stop
from llmi_testing.triton_models import CONFIG, write_doubling


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A repository that nobody may write to, as a claim is mounted."""
    folder = tmp_path_factory.mktemp("repository")
    write_doubling(folder)
    return folder


def double(address: str, number: float) -> float:
    tensor = client.InferInput("number", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.float32([[number]]))
    with client.InferenceServerClient(address) as triton:
        return float(triton.infer("doubling", [tensor]).as_numpy("double")[0, 0])


def test_it_answers_by_its_own_names_and_a_back_end_that_is_killed_ends_the_container(folder, tmp_path):
    with running_triton(folder, Task.EMBEDDINGS, tmp_path) as triton:
        assert double(triton.address, 2) == 4
        assert triton.metric("nv_inference_pending_request_count") == 0
        assert triton.metric("llmi_requests_running") == 0
        assert httpx.post(f"http://{triton.address}/v2/repository/index", json={}).status_code == 403
        eventually(lambda: "Repository ready" in triton.log.read_text(), "it is watched", seconds=90)
        os.kill(triton.back_end(), signal.SIGKILL)
        assert triton.process.wait(60) == EXIT_CODES[FailureCode.LOAD_FAILED]
        assert not triton.is_ready()
        assert "ended by itself" in json.loads(triton.message.read_text())["message"]


def test_a_stop_answers_what_was_accepted(folder, tmp_path):
    with running_triton(folder, Task.EMBEDDINGS, tmp_path) as triton:
        answers: list[float] = []
        asking = threading.Thread(target=lambda: answers.append(double(triton.address, 100)))
        asking.start()
        eventually(lambda: triton.metric("llmi_requests_running") == 1, "it computes", seconds=90)
        triton.process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert answers == [200]
        assert triton.process.wait(60) == 0, triton.log.read_text()[-3000:]
        assert not triton.message.exists()


def test_a_model_that_triton_refuses_is_told_in_its_words(tmp_path):
    write_doubling(tmp_path / "repository", "broken", config=CONFIG.replace("python", "onnxruntime"))
    triton = start_triton(tmp_path / "repository", Task.EMBEDDINGS, tmp_path)
    try:
        assert triton.process.wait(90) == EXIT_CODES[FailureCode.MODEL_INVALID], triton.log.read_text()[-3000:]
    finally:
        stop(triton)
    told = json.loads(triton.message.read_text())
    assert told["message"].startswith("Triton refuses the repository: failed to load 'broken' version 1: Invalid")
    assert "'onnxruntime'" in told["message"]
    assert "engine.image" in told["next"]


NO_MODULE = "failed to load 'broken' version 1: Internal: ModuleNotFoundError: No module named 'no_such_module'"
NO_PROTO = "Poll failed for model directory 'broken': failed to read text proto from /model/broken/config.pbtxt"
NO_MODEL = "creating server: Internal - failed to load all models"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            rf"""E1126 11:12:57.1 3 model_lifecycle.cc:642] "{NO_MODULE}\n\nAt:\n  /model/broken/1/model.py(1)\n\"""",
            NO_MODULE,
        ),
        (f"""E1126 11:13:01.1 3 model_repository_manager.cc:1186] "{NO_PROTO}\"\n""", NO_PROTO),
        (f"error: {NO_MODEL}\n", NO_MODEL),
        ("""I1126 11:12:55.9 3 model_lifecycle.cc:777] "failed to load 'broken'\"""", ""),
        ("""I1126 11:12:55.9 3 server.cc:604] "Backend python loaded\"""", ""),
    ],
)
def test_the_reason_is_found_in_its_log(line, reason):
    assert find_reason(line) == reason


def test_settings_of_which_nothing_would_come_are_refused(folder):
    values = {"model_name": "own", "model_dir": folder, "task": Task.EMBEDDINGS}
    settings = TritonSettings(**values, precision="float32", max_queued_requests=5)
    with pytest.raises(StartupError) as refused:
        serve_repository(settings)
    assert refused.value.failure.code is FailureCode.INVALID_SETTINGS
    assert "engine.precision, limits.maxQueuedRequests" in refused.value.failure.message


def test_what_the_operator_says_where_the_user_says_nothing_is_not_refused(folder, monkeypatch):
    monkeypatch.setattr(repository, "_Watch", lambda settings: SimpleNamespace(run=lambda: None))
    environment = make_environment(make_resource("own", task="embeddings", engine={"name": "triton"}))
    serve_repository(read_settings(TritonSettings, ["--model-dir", str(folder)], environment))


def test_a_model_of_hugging_faces_is_no_repository_even_with_one_beside_it(tmp_path, folder):
    assert is_repository(folder)
    assert not is_repository(tmp_path)
    write_doubling(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert not is_repository(tmp_path)
