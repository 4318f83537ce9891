"""A lock that survives its holder's death, on any volume."""

import subprocess
import sys
import threading

import pytest

from llmi_server.model.folder_lock import FolderLock
from llmi_testing.eventually import eventually

QUICK = {"touch_seconds": 0.05, "stale_seconds": 0.6, "poll_seconds": 0.02}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "commit.lock"


def acquire(lock, *, unless=lambda: False, on_lost=lambda: None):
    return lock.acquire(unless=unless, on_lost=on_lost)


@pytest.fixture
def another_pod(monkeypatch):
    """Locks made after this call belong to another place."""

    def move(name="elsewhere"):
        monkeypatch.setattr("socket.gethostname", lambda: name)

    return move


def test_a_free_lock_is_had_at_once_and_gone_after_release(path):
    lock = FolderLock(path, **QUICK)
    assert acquire(lock)
    assert path.exists()
    lock.release()
    assert not path.exists()


def test_the_second_waits_until_the_first_releases(path, another_pod):
    first = FolderLock(path, **QUICK)
    assert acquire(first)
    another_pod()
    second, got = FolderLock(path, **QUICK), threading.Event()
    waiter = threading.Thread(target=lambda: acquire(second) and got.set())
    waiter.start()
    assert not got.wait(1.0)  # longer than a lock may go untouched
    first.release()
    assert got.wait(60)
    waiter.join()
    second.release()


def test_the_wait_ends_when_there_is_nothing_left_to_do(path, another_pod):
    first = FolderLock(path, **QUICK)
    acquire(first)
    another_pod()
    assert not acquire(FolderLock(path, **QUICK), unless=iter([False, False, True]).__next__)
    first.release()


def test_a_killed_holder_does_not_block_for_ever(path):
    script = (
        "import sys, pathlib; from llmi_server.model.folder_lock import FolderLock\n"
        "FolderLock(pathlib.Path(sys.argv[1]), touch_seconds=0.05).acquire(unless=lambda: False, on_lost=print)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    assert path.exists()
    lock = FolderLock(path, **QUICK)
    assert acquire(lock)
    lock.release()
    assert not list(path.parent.iterdir())


def test_a_restarted_container_does_not_wait_for_its_earlier_life(path, monkeypatch):
    acquire(FolderLock(path, touch_seconds=99))
    monkeypatch.setattr("llmi_server.model.folder_lock._LIFE", "the next")
    assert acquire(FolderLock(path, touch_seconds=99, stale_seconds=9999, poll_seconds=0.01))


def test_a_holder_that_stood_still_learns_that_it_lost_the_lock(path, another_pod):
    lost = threading.Event()
    first = FolderLock(path, **QUICK)
    acquire(first, on_lost=lost.set)
    another_pod()
    path.unlink()
    second = FolderLock(path, **QUICK)
    assert acquire(second)
    assert lost.wait(60)
    assert first.lost.is_set()
    first.release()
    assert path.exists()
    second.release()


def test_of_many_waiters_for_a_dead_holder_one_gets_the_lock_at_a_time(path, another_pod):
    path.write_text("gone long-ago")
    another_pod()
    holding, most, done = [], [], []

    def work():
        lock = FolderLock(path, **QUICK)
        lock._place, lock._token = f"pod-{id(lock)}", f"pod-{id(lock)} life x"
        acquire(lock)
        holding.append(lock)
        most.append(len(holding))
        threading.Event().wait(0.05)
        holding.remove(lock)
        lock.release()
        done.append(lock)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 8
    assert max(most) == 1
    eventually(lambda: not list(path.parent.iterdir()), "nothing is left behind")
