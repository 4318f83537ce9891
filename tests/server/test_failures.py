"""Every way to give up, for real: a process of its own, its exit code, its one JSON line, and no secret in either."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llmi_api.failure import EXIT_CODES, Failure, FailureCode
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.hub import Behaviour, running_hub
from llmi_testing.models import small_model, tiny_bert

CANARY = "hf_canary_token"
REPOSITORY = "owner/model"
MODEL_BYTES = 300_000


def start(command, message, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LLMI_")}
    ours = {"LLMI_TERMINATION_MESSAGE_PATH": str(message), "LLMI_LOG_LEVEL": "debug", "LLMI_PORT": "0", **environment}
    command = [sys.executable, "-m", "llmi_server", command]
    return subprocess.Popen(command, env=clean | ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def failure_of(process, message):
    """Wait for the end, and return the failure that was left, after judging how it was told."""
    stdout, stderr = process.communicate(timeout=100)
    left = Failure.model_validate_json(message.read_text())
    assert message.read_text().count("\n") == 1, "one line"
    assert process.returncode == EXIT_CODES[left.code]
    logged = json.loads(stderr.strip().splitlines()[-1])
    assert (logged["code"], logged["message"], logged["next"]) == (left.code, left.message, left.next)
    assert left.message.endswith(".")
    assert left.next.endswith(".")
    assert CANARY not in stdout + stderr + message.read_text()
    return left


@pytest.fixture
def message(tmp_path):
    return tmp_path / "termination"


@pytest.fixture
def port():
    return str(free_port())


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "hub" / REPOSITORY
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(os.urandom(MODEL_BYTES))
    pickles = tmp_path / "hub" / "owner" / "pickles"
    pickles.mkdir()
    (pickles / "pytorch_model.bin").write_bytes(b"x")
    return tmp_path / "hub"


def fetch(url, message, tmp_path, *, token=CANARY, **environment):
    settings = {"LLMI_MODEL_ID": REPOSITORY, "LLMI_HUB_ENDPOINT": url, "LLMI_MODEL_DIR": str(tmp_path / "model"),
                "LLMI_ATTEMPTS": "2", "LLMI_RETRY_SECONDS": "0", **environment}  # fmt: skip
    if token:
        (tmp_path / "token").write_text(token)
        settings["LLMI_HUB_TOKEN_FILE"] = str(tmp_path / "token")
    return start("fetch", message, **settings)


FETCHES = [
    (FailureCode.INVALID_SETTINGS, {}, {"LLMI_HUB_ENDPOINT": "ftp://hub"}),
    (FailureCode.REPOSITORY_UNKNOWN, {"hidden": True}, {}),
    (FailureCode.REVISION_UNKNOWN, {}, {"LLMI_MODEL_REVISION": "v9"}),
    (FailureCode.ACCESS_GATED, {"gated": True}, {}),
    (FailureCode.TOKEN_MISSING, {"token": "wanted"}, {"token": None}),
    (FailureCode.TOKEN_REFUSED, {"token": "another"}, {}),
    (FailureCode.NO_SAFETENSORS, {}, {"LLMI_MODEL_ID": "owner/pickles"}),
    (FailureCode.DISK_FULL, {"announced_bytes": 1 << 60}, {}),
    (FailureCode.HASH_MISMATCH, {"wrong_hash": True}, {}),
    (FailureCode.HUB_UNREACHABLE, {"fail_times": 99, "fail_status": 503}, {}),
]


@pytest.mark.parametrize("row", FETCHES, ids=[row[0] for row in FETCHES])
def test_a_fetch_that_gives_up_says_why(root, message, tmp_path, row):
    code, behaviour, environment = row
    with running_hub(root, {REPOSITORY: Behaviour(**behaviour)}) as hub:
        assert failure_of(fetch(hub.url, message, tmp_path, **environment), message).code is code


def copy_of(model, folder):
    shutil.copytree(model, folder)
    return folder


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def as_it_is(folder: Path) -> None:
    """Leave a copy alone."""


def nowhere(folder: Path) -> None:
    (folder / "config.json").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_off(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])


def with_code(folder: Path) -> None:
    change_config(folder, auto_map={"AutoModel": "evil.Model"})


def enormous(folder: Path) -> None:
    """A header that promises 8 TB, and a file that has as many bytes, none of them on the disk."""
    size = 8 << 40
    header = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as handle:
        handle.write(struct.pack("<Q", len(header)) + header)
        handle.truncate(8 + len(header) + size)


def with_words_that_the_model_lacks(folder: Path) -> None:
    """Its tokenizer knows more tokens than its embeddings have rows, so the first answer fails."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["a"] = 9999
    path.write_text(json.dumps(content))


SERVES = [
    (FailureCode.INVALID_SETTINGS, as_it_is, {"LLMI_MAX_INPUT_TOKENS": "100000"}),
    (FailureCode.NO_SAFETENSORS, pickled, {}),
    (FailureCode.MODEL_NOT_FOUND, nowhere, {}),
    (FailureCode.MODEL_INVALID, cut_off, {}),
    (FailureCode.TASK_MISMATCH, as_it_is, {"LLMI_TASK": "text-classification"}),
    (FailureCode.REMOTE_CODE_NEEDED, with_code, {}),
    (FailureCode.OUT_OF_MEMORY, enormous, {}),
    (FailureCode.PRECISION_UNSUPPORTED, as_it_is, {"LLMI_PRECISION": "float16", "LLMI_DEVICE": "cpu"}),
    (FailureCode.LOAD_FAILED, with_words_that_the_model_lacks, {}),
]


def serve(folder, message, **environment):
    settings = {"LLMI_MODEL_NAME": "m", "LLMI_TASK": "fill-mask", "LLMI_HOST": "127.0.0.1",
                "LLMI_MODEL_DIR": str(folder), **environment}  # fmt: skip
    return start("serve", message, **settings)


@pytest.mark.parametrize("row", SERVES, ids=[row[0] for row in SERVES])
def test_a_server_that_cannot_start_says_why(message, tmp_path, port, row):
    code, damage, environment = row
    folder = copy_of(small_model("bert", "fill-mask"), tmp_path / "model")
    damage(folder)
    process = serve(folder, message, **{"LLMI_PORT": port, **environment})
    assert failure_of(process, message).code is code


def test_a_gpu_that_was_asked_for_and_is_not_there_is_told(message, port):
    if torch.cuda.is_available():
        pytest.skip("There is a GPU here.")
    process = serve(small_model("bert", "fill-mask"), message, LLMI_PORT=port, LLMI_DEVICE="cuda")
    assert failure_of(process, message).code is FailureCode.ACCELERATOR_ABSENT


def test_a_wrong_answer_to_a_verify_question_ends_the_server(message, port):
    questions = json.dumps([{"input": "The capital of France is [MASK].", "expect": "London"}])
    process = serve(tiny_bert(), message, LLMI_PORT=port, LLMI_VERIFY=questions)
    left = failure_of(process, message)
    assert left.code is FailureCode.VERIFY_FAILED
    assert "is 'paris', and 'London' is expected" in left.message


def test_every_code_is_produced_here():
    tables = {row[0] for row in FETCHES + SERVES}
    assert tables | {FailureCode.ACCELERATOR_ABSENT, FailureCode.VERIFY_FAILED} == set(FailureCode)


@pytest.mark.parametrize("cached", [False, True])
def test_a_killed_fetch_is_resumed_by_the_next(root, message, tmp_path, cached):
    environment = {"LLMI_CACHE_DIR": str(tmp_path / "cache")} if cached else {}
    where = tmp_path / ("cache" if cached else "model")

    def parts():
        return [part for part in where.rglob("model.safetensors.part") if part.stat().st_size > 100_000]

    with running_hub(root, {REPOSITORY: Behaviour(bytes_per_second=150_000)}) as hub:
        process = fetch(hub.url, message, tmp_path, **environment)
        eventually(parts, "a third is there", seconds=60)
        process.kill()
        process.communicate()
        hub.script[REPOSITORY].bytes_per_second = 0
        for lock in where.rglob("*.lock"):
            lock.unlink()  # the wait for a dead holder has its own test
        second = fetch(hub.url, message, tmp_path, **environment)
        _, stderr = second.communicate(timeout=60)
        assert second.returncode == 0, stderr
        weights = [seen for seen in hub.requests if seen.path.endswith("model.safetensors")]
        ranges = [seen.range for seen in weights if not seen.is_look]
    assert ranges[0] is None
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) > 100_000
    assert (tmp_path / "model" / "model.safetensors").stat().st_size == MODEL_BYTES


def test_a_fetch_ends_on_sigterm_and_gives_its_lock_back(root, message, tmp_path):
    with running_hub(root, {REPOSITORY: Behaviour(bytes_per_second=100_000)}) as hub:
        process = fetch(hub.url, message, tmp_path, LLMI_CACHE_DIR=str(tmp_path / "cache"))
        # Once a file comes, the lock is not merely made but held.
        eventually(lambda: list(tmp_path.rglob("*.part")), "a download under the lock", seconds=60)
        assert list(tmp_path.rglob("*.lock"))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.rglob("*.lock"))
    assert not message.exists()
