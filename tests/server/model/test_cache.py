"""One folder for each commit, shared by replicas."""

import functools
import logging
import os
import shutil
import threading

import pytest

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.model.cache import cache_folder
from llmi_server.model.fetch import fetch
from llmi_server.model.files import weight_files
from llmi_server.model.folder_lock import FolderLock
from llmi_server.model.marker import MARKER_NAME, read_marker, write_marker
from llmi_server.settings import FetchSettings
from llmi_testing.eventually import eventually
from llmi_testing.hub import Behaviour, running_hub

REPOSITORY = "owner/model"
WEIGHTS = os.urandom(200_000)


@pytest.fixture
def root(tmp_path):
    for repository in (REPOSITORY, "owner/other"):
        folder = tmp_path / "hub" / repository
        (folder / "1_Pooling").mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "bert"}')
        (folder / "1_Pooling" / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(WEIGHTS)
    return tmp_path / "hub"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def settings(hub, cache, model_dir, **extra):
    values = {"model_id": REPOSITORY, "attempts": 3, "retry_seconds": 0, "timeout_seconds": 5, "port": 0, **extra}
    return FetchSettings(hub_endpoint=hub.url, model_dir=model_dir, cache_dir=cache, **values)


def weight_requests(hub):
    return [seen for seen in hub.requests if seen.path.endswith("model.safetensors") and not seen.is_look]


def test_the_files_live_in_the_cache_and_the_models_folder_leads_there(root, cache, tmp_path):
    with running_hub(root) as hub:
        report = fetch(settings(hub, cache, tmp_path / "model"))
    folder = cache / "owner@model" / report.revision
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (tmp_path / "model" / "model.safetensors").readlink() == folder / "model.safetensors"
    assert (tmp_path / "model" / "1_Pooling" / "config.json").read_text() == "{}"
    assert weight_files(tmp_path / "model") == [tmp_path / "model" / "model.safetensors"]
    assert read_marker(tmp_path / "model") == read_marker(folder)


def test_a_second_replica_downloads_nothing(root, cache, tmp_path):
    with running_hub(root) as hub:
        fetch(settings(hub, cache, tmp_path / "one"))
        report = fetch(settings(hub, cache, tmp_path / "two"))
        assert len(weight_requests(hub)) == 1
    assert report.downloaded_bytes == 0
    assert report.bytes > len(WEIGHTS)
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_pinned_commit_in_the_cache_needs_no_hub_and_no_right_to_write(root, cache, tmp_path):
    with running_hub(root) as hub:
        commit = fetch(settings(hub, cache, tmp_path / "one")).revision
    for folder in (cache, *cache.glob("*"), *cache.glob("*/*")):
        folder.chmod(0o555)
    try:
        report = fetch(settings(hub, cache, tmp_path / "two", model_commit=commit))
    finally:
        for folder in (cache, *cache.glob("*"), *cache.glob("*/*")):
            folder.chmod(0o755)
    assert report.revision == commit
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == WEIGHTS


def test_two_replicas_at_once_download_once(root, cache, tmp_path):
    with running_hub(root, {REPOSITORY: Behaviour(bytes_per_second=400_000)}) as hub:
        reports = []
        threads = [
            threading.Thread(target=lambda n=n: reports.append(fetch(settings(hub, cache, tmp_path / str(n)))))
            for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(weight_requests(hub)) == 1
    assert sorted(report.downloaded_bytes > 0 for report in reports) == [False, False, True]
    assert not list(cache.glob("*/*.lock"))
    for n in range(3):
        assert (tmp_path / str(n) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_replica_whose_lock_was_taken_away_stops_and_takes_its_turn_again(root, cache, tmp_path, monkeypatch, caplog):
    quick = functools.partial(FolderLock, touch_seconds=0.05, stale_seconds=0.5, poll_seconds=0.05)
    monkeypatch.setattr("llmi_server.model.fetch.FolderLock", quick)
    caplog.set_level(logging.INFO)
    with running_hub(root, {REPOSITORY: Behaviour(bytes_per_second=200_000)}) as hub:
        thread = threading.Thread(target=fetch, args=(settings(hub, cache, tmp_path / "model"),))
        thread.start()
        (lock,) = eventually(lambda: list(cache.glob("*/*.lock")), "the lock is held")
        lock.write_text("another-pod/1 life token")  # as if that one had judged us dead, and then died itself
        eventually(lambda: "Another replica took over the fetch" in caplog.text, "it stops")
        hub.script[REPOSITORY].bytes_per_second = 0
        thread.join(30)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == WEIGHTS
    assert not list(cache.glob("*/*.lock"))


def test_a_download_that_broke_off_is_resumed_by_the_next_replica(root, cache, tmp_path):
    with running_hub(root) as hub:
        folder = cache_folder(cache, REPOSITORY, hub.commit(REPOSITORY))
        folder.mkdir(parents=True)
        (folder / "model.safetensors.part").write_bytes(WEIGHTS[:150_000])
        fetch(settings(hub, cache, tmp_path / "model"))
        assert [seen.range for seen in weight_requests(hub)] == ["bytes=150000-"]


def test_several_models_and_commits_share_a_cache_and_none_is_removed(root, cache, tmp_path):
    with running_hub(root) as hub:
        first = fetch(settings(hub, cache, tmp_path / "model")).revision
        (root / REPOSITORY / "config.json").write_text('{"model_type": "bert", "new": true}')
        second = fetch(settings(hub, cache, tmp_path / "model")).revision
        fetch(settings(hub, cache, tmp_path / "other", model_id="owner/other"))
    assert {path.name for path in (cache / "owner@model").iterdir()} == {first, second}
    assert (cache / "owner@other").is_dir()
    assert "new" in (tmp_path / "model" / "config.json").read_text()
    assert "new" not in (cache / "owner@model" / first / "config.json").read_text()


def test_a_damaged_cache_is_mended(root, cache, tmp_path):
    with running_hub(root) as hub:
        commit = fetch(settings(hub, cache, tmp_path / "one")).revision
        (cache / "owner@model" / commit / "model.safetensors").write_bytes(b"cut off")
        fetch(settings(hub, cache, tmp_path / "two"))
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == WEIGHTS


def test_files_of_another_model_are_not_taken_for_this_one(root, cache, tmp_path):
    with running_hub(root) as hub:
        first = fetch(settings(hub, cache, tmp_path / "one")).revision
        commit = hub.commit("owner/other")
        folder = cache_folder(cache, "owner/other", commit)
        shutil.copytree(cache / "owner@model" / first, folder)
        write_marker(folder, read_marker(folder).model_copy(update={"revision": commit}))
        fetch(settings(hub, cache, tmp_path / "two", model_id="owner/other"))
    assert read_marker(tmp_path / "two").model_id == "owner/other"


def test_a_full_cache_says_what_else_it_holds(root, cache, tmp_path, monkeypatch):
    with running_hub(root) as hub:
        fetch(settings(hub, cache, tmp_path / "one"))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
        with pytest.raises(StartupError) as caught:
            fetch(settings(hub, cache, tmp_path / "two", model_id="owner/other"))
    assert caught.value.failure.code is FailureCode.DISK_FULL
    assert "owner@model/" in caught.value.failure.next
    assert not list(cache.glob("*/*.lock"))


def test_a_failed_fetch_leaves_no_marker_behind(root, cache, tmp_path):
    with running_hub(root, {REPOSITORY: Behaviour(wrong_hash=True)}) as hub, pytest.raises(StartupError):
        fetch(settings(hub, cache, tmp_path / "model"))
    assert not list(cache.rglob(MARKER_NAME))
    assert not (tmp_path / "model" / MARKER_NAME).exists()
