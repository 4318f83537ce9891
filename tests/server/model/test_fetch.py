"""Fetching from a hub that misbehaves."""

import json
import logging
import os
import shutil
from pathlib import Path

import httpx
import pytest

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.model.fetch import fetch
from llmi_server.model.marker import read_marker
from llmi_server.model.selection import select_files
from llmi_server.settings import FetchSettings
from llmi_testing.hub import Behaviour, running_hub

REPOSITORY = "owner/model"
TOKEN = "hf_secret_canary"
WEIGHTS = os.urandom(300_000)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "hub" / REPOSITORY
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling_evil.py").write_text("import os")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"onnx")
    (folder / "README.md").write_text("hello")
    return tmp_path / "hub"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "model"


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


def settings(hub, target, **extra):
    values = {"attempts": 3, "retry_seconds": 0, "timeout_seconds": 5, "port": 0, **extra}
    return FetchSettings(model_id=REPOSITORY, hub_endpoint=hub.url, model_dir=target, **values)


def hub_with(root, **behaviour):
    return running_hub(root, {REPOSITORY: Behaviour(**behaviour)})


def failure(call):
    with pytest.raises(StartupError) as caught:
        call()
    found = caught.value.failure
    assert found.message.endswith(".")
    assert found.next.endswith(".")
    assert TOKEN not in found.model_dump_json()
    return found


def names(target):
    return {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}


def test_the_allowed_files_arrive_and_nothing_else(root, target):
    with running_hub(root) as hub:
        report = fetch(settings(hub, target))
        assert report.revision == hub.commit(REPOSITORY)
    assert names(target) == {
        "config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json", ".llmi-fetch.json"
    }  # fmt: skip
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    assert report.bytes == len(WEIGHTS) + 22 + 2 + 2


def test_a_second_fetch_of_a_commit_asks_nobody(root, target):
    with running_hub(root) as hub:
        commit = fetch(settings(hub, target)).revision
    gone = settings(hub, target, model_revision=commit)
    assert fetch(gone).revision == commit


def test_a_second_fetch_of_a_branch_only_asks_what_it_means(root, target):
    with running_hub(root) as hub:
        fetch(settings(hub, target))
        before = len(hub.requests)
        fetch(settings(hub, target))
        assert len(hub.requests) == before + 1


def test_a_new_commit_replaces_what_changed_and_removes_what_went(root, target):
    with running_hub(root) as hub:
        fetch(settings(hub, target))
        (root / REPOSITORY / "tokenizer.json").unlink()
        (root / REPOSITORY / "vocab.txt").write_text("a")
        before = len(hub.requests)
        fetch(settings(hub, target))
        asked = [seen.path.rsplit("/", 1)[-1] for seen in hub.requests[before + 1 :]]
    assert asked == ["vocab.txt"]
    assert "tokenizer.json" not in names(target)
    assert (target / "vocab.txt").read_text() == "a"


def test_a_pinned_commit_is_fetched_whatever_the_branch_names_by_now(root, target):
    with hub_with(root, moved_to="b" * 40) as hub:
        report = fetch(settings(hub, target, model_commit=hub.commit(REPOSITORY)))
        assert report.revision == hub.commit(REPOSITORY)
    assert report.upstream == "b" * 40
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_branch_that_still_names_the_pinned_commit_is_no_news(root, target):
    with running_hub(root) as hub:
        report = fetch(settings(hub, target, model_commit=hub.commit(REPOSITORY), model_revision="main"))
        assert sum("/revision/main" in seen.path for seen in hub.requests) == 1
    assert report.upstream is None


def test_an_unanswered_question_after_the_branch_is_only_logged(root, target, caplog):
    caplog.set_level(logging.INFO)
    with running_hub(root) as hub:
        report = fetch(settings(hub, target, model_commit=hub.commit(REPOSITORY), model_revision="deleted"))
    assert report.upstream is None
    assert "Unknown what the revision names by now" in caplog.text


def test_a_pinned_commit_that_is_there_needs_no_hub(root, target):
    with running_hub(root) as hub:
        commit = fetch(settings(hub, target)).revision
    report = fetch(settings(hub, target, model_commit=commit, model_revision="main"))
    assert (report.revision, report.downloaded_bytes, report.upstream) == (commit, 0, None)


def test_a_pinned_commit_that_the_hub_lost_is_named(root, target):
    with running_hub(root) as hub:
        found = failure(lambda: fetch(settings(hub, target, model_commit="c" * 40)))
    assert found.code is FailureCode.REVISION_UNKNOWN
    assert "c" * 40 in found.message


def test_the_report_tells_what_came_over_the_network(root, target):
    target.mkdir()
    (target / "model.safetensors.part").write_bytes(WEIGHTS[:100_000])
    with running_hub(root) as hub:
        report = fetch(settings(hub, target))
    assert report.bytes - report.downloaded_bytes == 100_000


def test_a_branch_or_tag_becomes_its_commit(root, target):
    with hub_with(root, revisions=("refs/pr/1",)) as hub:
        report = fetch(settings(hub, target, model_revision="refs/pr/1"))
        assert report.revision == hub.commit(REPOSITORY)


def test_a_cut_connection_is_resumed_where_it_broke(root, target):
    with hub_with(root, cut_after_bytes=100_000, cut_times=2) as hub:
        fetch(settings(hub, target, attempts=2))
        ranges = [seen.range for seen in hub.requests if seen.path.endswith("model.safetensors") and not seen.is_look]
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_ends_early_without_an_error_is_resumed_too(root, target):
    with hub_with(root, cut_after_bytes=100_000, cut_times=1, lengths=False) as hub:
        fetch(settings(hub, target, attempts=2))
        ranges = [seen.range for seen in hub.requests if seen.path.endswith("model.safetensors") and not seen.is_look]
    assert ranges == [None, "bytes=100000-"]
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_hub_without_ranges_is_read_from_the_beginning_again(root, target):
    with hub_with(root, cut_after_bytes=100_000, cut_times=1, ignore_range=True) as hub:
        fetch(settings(hub, target))
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_part_of_an_earlier_run_is_resumed(root, target):
    target.mkdir()
    (target / "model.safetensors.part").write_bytes(WEIGHTS[:123_456])
    with running_hub(root) as hub:
        fetch(settings(hub, target))
        assert "bytes=123456-" in [seen.range for seen in hub.requests]
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_damaged_part_of_an_earlier_run_is_thrown_away(root, target):
    target.mkdir()
    (target / "model.safetensors.part").write_bytes(b"x" * 123_456)
    with running_hub(root) as hub:
        fetch(settings(hub, target))
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_a_part_larger_than_the_file_is_thrown_away(root, target):
    target.mkdir()
    (target / "model.safetensors.part").write_bytes(WEIGHTS + b"more")
    with running_hub(root) as hub:
        fetch(settings(hub, target))
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_damage_on_the_way_is_a_hash_mismatch_and_leaves_nothing(root, target):
    with hub_with(root, wrong_hash=True) as hub:
        found = failure(lambda: fetch(settings(hub, target)))
    assert found.code is FailureCode.HASH_MISMATCH
    assert "model.safetensors" in found.message
    assert not (target / "model.safetensors").exists()
    assert read_marker(target) is None


def test_a_damaged_small_file_is_a_hash_mismatch(root, target, monkeypatch):
    monkeypatch.setattr("llmi_testing.hub._git_hash", lambda path: "1" * 40)
    with running_hub(root) as hub:
        assert failure(lambda: fetch(settings(hub, target))).code is FailureCode.HASH_MISMATCH


def test_a_mirror_without_sizes_and_hashes_is_believed(root, target):
    with hub_with(root, sizes=False) as hub:
        fetch(settings(hub, target))
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_passing_failure_of_the_hub_is_survived(root, target, status):
    with hub_with(root, fail_times=2, fail_status=status, retry_after="0") as hub:
        assert fetch(settings(hub, target)).bytes > 0


def test_a_lasting_failure_of_the_hub_gives_up(root, target):
    with hub_with(root, fail_times=99) as hub:
        found = failure(lambda: fetch(settings(hub, target)))
        assert len(hub.requests) == 3
    assert found.code is FailureCode.HUB_UNREACHABLE
    assert "500" in found.message


def test_a_hub_that_is_not_there_gives_up(root, target):
    with running_hub(root) as hub:
        pass
    assert failure(lambda: fetch(settings(hub, target))).code is FailureCode.HUB_UNREACHABLE


def test_a_silent_hub_gives_up(root, target):
    with hub_with(root, bytes_per_second=1) as hub:
        found = failure(lambda: fetch(settings(hub, target, timeout_seconds=0.2, attempts=2)))
    assert found.code is FailureCode.HUB_UNREACHABLE


def test_something_that_is_no_hub_gives_up(tmp_path, target):
    folder = tmp_path / "api" / "models" / REPOSITORY
    folder.mkdir(parents=True)
    with running_hub(tmp_path) as hub:
        wrong = settings(hub, target).model_copy(update={"hub_endpoint": hub.url + "/nowhere"})
        assert failure(lambda: fetch(wrong)).code is FailureCode.REPOSITORY_UNKNOWN


def test_an_unknown_repository_is_unknown_or_private(root, target):
    with hub_with(root, hidden=True) as hub:
        found = failure(lambda: fetch(settings(hub, target)))
    assert found.code is FailureCode.REPOSITORY_UNKNOWN
    assert "private" in found.message


def test_an_unknown_repository_with_a_token_is_unknown_too(root, target, token_file):
    with hub_with(root, hidden=True) as hub:
        found = failure(lambda: fetch(settings(hub, target, hub_token_file=token_file)))
    assert found.code is FailureCode.REPOSITORY_UNKNOWN


def test_an_unknown_revision_is_named(root, target):
    with running_hub(root) as hub:
        found = failure(lambda: fetch(settings(hub, target, model_revision="v9")))
    assert found.code is FailureCode.REVISION_UNKNOWN
    assert "v9" in found.message


def test_a_wanted_token_is_missed(root, target):
    with hub_with(root, token=TOKEN) as hub:
        assert failure(lambda: fetch(settings(hub, target))).code is FailureCode.TOKEN_MISSING


def test_a_wrong_token_is_refused(root, target, token_file):
    with hub_with(root, token="another") as hub:
        found = failure(lambda: fetch(settings(hub, target, hub_token_file=token_file)))
    assert found.code is FailureCode.TOKEN_REFUSED


def test_the_right_token_opens(root, target, token_file):
    with hub_with(root, token=TOKEN) as hub:
        assert fetch(settings(hub, target, hub_token_file=token_file)).bytes > 0


@pytest.mark.parametrize(
    ("content", "code"),
    [("", FailureCode.TOKEN_MISSING), (None, FailureCode.TOKEN_MISSING), ("two words", FailureCode.TOKEN_REFUSED),
     ("line\nbreak", FailureCode.TOKEN_REFUSED), ("schlüssel", FailureCode.TOKEN_REFUSED)],
)  # fmt: skip
def test_a_useless_token_file_is_told(root, target, tmp_path, content, code):
    path = tmp_path / "useless"
    if content is not None:
        path.write_text(content)
    with running_hub(root) as hub:
        assert failure(lambda: fetch(settings(hub, target, hub_token_file=path))).code is code


def test_a_gated_repository_says_where_to_ask(root, target, token_file):
    with hub_with(root, gated=True) as hub:
        found = failure(lambda: fetch(settings(hub, target, hub_token_file=token_file)))
        assert f"{hub.url}/{REPOSITORY}" in found.next
    assert found.code is FailureCode.ACCESS_GATED


def test_the_token_is_never_sent_to_another_host(root, target, token_file):
    with running_hub(root) as storage, hub_with(root, token=TOKEN, redirect_to=storage.url) as hub:
        fetch(settings(hub, target, hub_token_file=token_file))
    assert hub.requests
    assert all(seen.authorization == f"Bearer {TOKEN}" for seen in hub.requests)
    assert len([seen for seen in storage.requests if not seen.is_look]) == 4
    assert all(seen.authorization is None for seen in storage.requests)


def test_the_token_is_in_no_log_line(root, target, token_file, caplog):
    caplog.set_level(logging.DEBUG)
    with hub_with(root, token=TOKEN, fail_times=2) as hub:
        fetch(settings(hub, target, hub_token_file=token_file))
    assert caplog.records
    assert TOKEN not in caplog.text + str([vars(record) for record in caplog.records])


def test_endless_redirects_give_up(root, target):
    with running_hub(root) as hub:
        hub.script[REPOSITORY] = Behaviour(redirect_to=hub.url)
        assert failure(lambda: fetch(settings(hub, target))).code is FailureCode.HUB_UNREACHABLE


def test_a_repository_of_pickles_is_told_what_it_has(root, target):
    (root / REPOSITORY / "model.safetensors").unlink()
    with running_hub(root) as hub:
        found = failure(lambda: fetch(settings(hub, target)))
    assert found.code is FailureCode.NO_SAFETENSORS
    assert "pytorch_model.bin" in found.message
    assert names(target) == set()


def test_weights_in_parts_arrive_whole(root, target):
    folder = root / REPOSITORY
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"two")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    with running_hub(root) as hub:
        fetch(settings(hub, target))
    assert {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
            "model.safetensors.index.json"} <= names(target)  # fmt: skip


def test_a_small_disk_is_told_before_anything_is_fetched(root, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with running_hub(root) as hub:
        found = failure(lambda: fetch(settings(hub, target)))
        assert len(hub.requests) == 1
    assert found.code is FailureCode.DISK_FULL
    assert "0 MiB are free" in found.message


def test_a_disk_that_fills_up_is_told(root, target, monkeypatch):
    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    real_open = Path.open

    def opened(self, mode="r", *arguments, **options):
        handle = real_open(self, mode, *arguments, **options)
        return _Full(handle) if mode == "ab" and "safetensors" in self.name else handle

    class _Full:
        write = full

        def __init__(self, handle):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.handle.close()

    monkeypatch.setattr(Path, "open", opened)
    with running_hub(root) as hub:
        assert failure(lambda: fetch(settings(hub, target))).code is FailureCode.DISK_FULL


def test_a_folder_that_cannot_be_written_is_told(root, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with running_hub(root) as hub:
        assert failure(lambda: fetch(settings(hub, blocked / "model"))).code is FailureCode.INVALID_SETTINGS


@pytest.mark.parametrize("name", ["../etc", "a/b/c", "", " ", "a b", "/x", "owner/..", "https://x/y"])
def test_a_strange_model_id_is_refused(target, name):
    wrong = FetchSettings.model_construct(**{**FetchSettings(model_id="x", port=0).model_dump(), "model_id": name})
    wrong = wrong.model_copy(update={"model_dir": target})
    assert failure(lambda: fetch(wrong)).code is FailureCode.INVALID_SETTINGS


@pytest.mark.parametrize("endpoint", ["ftp://x", "x", "http://", "http://user:pw@x", "http://x?y=1", "http://[bad"])
def test_a_strange_endpoint_is_refused(target, endpoint):
    wrong = FetchSettings(model_id="a/b", hub_endpoint=endpoint, model_dir=target, port=0)
    assert failure(lambda: fetch(wrong)).code is FailureCode.INVALID_SETTINGS


def test_names_that_leave_the_folder_are_never_fetched(root, target):
    with running_hub(root) as hub:
        answer = httpx.get(f"{hub.url}/api/models/{REPOSITORY}/revision/main").json()
    assert answer["siblings"]
    evil = ["../config.json", "/etc/config.json", "a/../../vocab.txt", "x/tokenizer.json", "model.safetensors"]
    assert select_files(evil) == ["model.safetensors"]
