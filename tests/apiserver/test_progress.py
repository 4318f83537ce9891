"""How far a start is, and what it took: replicas are played by a small server of the test on a loopback address."""

import itertools
import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.pretend_replica import PretendReplica
from llmi_testing.space import container_status, ready_status

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]
_hosts = itertools.count(20)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def replica():
    replica = PretendReplica(f"127.0.0.{next(_hosts)}")
    yield replica
    replica.close()


@pytest.fixture
def pod(space, replica):
    space.apply(make_body())
    body = space.wait_for_pods(1)[0]
    name = body["metadata"]["name"]
    stamp = body["metadata"]["creationTimestamp"]
    placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp}
    space.set_pod_status(name, {"podIP": replica.address, "podIPs": [{"ip": replica.address}], "conditions": [placed]})
    return name


def running(space, pod):
    return {"running": {"startedAt": space.need("pod", pod)["metadata"]["creationTimestamp"]}}


def fetching(space, pod):
    space.set_pod_status(pod, {"initContainerStatuses": [container_status("fetch", running(space, pod))]})


def loading(space, pod):
    space.set_pod_status(pod, {"containerStatuses": [container_status("server", running(space, pod))]})


def wait_for_words(space, *words, seconds=40):
    def look():
        why = space.status("bert").get("why", "")
        assert all(word in why for word in words), why
        return why

    return eventually(look, seconds=seconds)


def test_a_download_says_how_far_it_is(space, replica, pod):
    numbers = {"done_bytes": 536_000_000, "total_bytes": 1_340_000_000, "bytes_per_second": 85e6}
    replica.answer = (503, {"stage": "fetching", "phase": "files", **numbers})
    fetching(space, pod)
    why = wait_for_words(space, " at 85 MB/s")
    assert why == "Downloading google-bert/bert-large-uncased: 0.5 of 1.3 GB (40 %) at 85 MB/s."
    replica.answer = (503, {"stage": "fetching", "phase": "files", **numbers, "done_bytes": 1_206_000_000})
    wait_for_words(space, "(90 %)")


def test_a_server_that_loads_says_how_far_it_is(space, replica, pod):
    numbers = {"done_bytes": 670_000_000, "total_bytes": 1_340_000_000}
    replica.answer = (503, {"stage": "loading", "phase": "weights", **numbers})
    loading(space, pod)
    why = wait_for_words(space, "weights")
    assert why == "The server is loading google-bert/bert-large-uncased: weights, 0.7 of 1.3 GB (50 %)."


def test_a_server_that_is_killed_while_it_loads_says_how_far_it_was(space, replica, pod):
    space.patch("llmi", "bert", {"spec": {"rollout": {"startupTimeoutSeconds": 1800}}})
    numbers = {"done_bytes": 670_000_000, "total_bytes": 1_340_000_000}
    replica.answer = (503, {"stage": "loading", "phase": "weights", **numbers})
    loading(space, pod)
    wait_for_words(space, "weights")
    times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:30:00Z"}
    end = {"terminated": {"exitCode": 137, "reason": "Error", **times}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    space.set_pod_status(pod, {"containerStatuses": [container_status("server", waiting, last=end, restarts=1)]})
    wait_for_words(space, "was restarted (it was at weights, 0.7 of 1.3 GB (50 %)): raise")


def test_progress_is_written_at_most_once_in_five_seconds(space, replica, pod, written):
    numbers = itertools.count(1)
    replica.answer = (503, {"stage": "loading", "phase": "weights", "done_bytes": 1, "total_bytes": 1000})
    loading(space, pod)
    wait_for_words(space, "weights")
    before, asked = len(status_writes(written, space)), replica.asked
    while replica.asked < asked + 3:
        done = 10 * (next(numbers) % 100)
        replica.answer = (503, {"stage": "loading", "phase": "weights", "done_bytes": done, "total_bytes": 1000})
        space.patch("pod", pod, {"metadata": {"annotations": {"poke": str(done)}}})
    assert len(status_writes(written, space)) - before <= 4


def status_writes(written, space):
    return [item for item in written(space.namespace) if item[1:] == ("llminferences", "status")]


def test_the_phases_of_a_start_and_its_memory_stand_in_the_status_once_it_is_over(space, replica, pod, written):
    phases = {"imports": 2.5, "weights": 4.0, "warm-up": 1.0, "verify": 0.5}
    memory = {"predicted_memory_bytes": 1_500_000_000, "measured_memory_bytes": 1_450_000_000}
    replica.answer = (200, {"stage": "ready", "phase": "ready", "phase_seconds": phases, **memory})
    body = space.need("pod", pod)
    fetched = json.dumps({"revision": COMMIT, "bytes": 1_340_000_000, "seconds": 15.8})
    stamp = body["metadata"]["creationTimestamp"]
    done = {"exitCode": 0, "reason": "Completed", "message": fetched, "startedAt": stamp, "finishedAt": stamp}
    fetch = {"initContainerStatuses": [container_status("fetch", {"terminated": done})]}
    space.set_pod_status(pod, ready_status(body) | fetch)
    eventually(lambda: "memory" in space.status("bert"))
    status = space.status("bert")
    assert status["startup"] == {
        "replica": pod,
        "scheduled": "0s",
        "pulled": "0s",
        "fetched": "15.8s",
        "fetchedBytes": 1_340_000_000,
        "fetchedRate": "85 MB/s",
        "loaded": "6.5s",
        "warmed": "1.5s",
        "answered": "8s",
    }
    files = "google-bert/bert-large-uncased@main"
    assert status["memory"] == {"model": files, "predictedBytes": 1_499_463_680, "measuredBytes": 1_449_132_032}
    assert status["why"] == ""
    # What it uses later is no news.
    before, asked = status_writes(written, space), replica.asked
    replica.answer = (
        200,
        {"stage": "ready", "phase": "ready", "phase_seconds": phases, "measured_memory_bytes": 2**40},
    )
    for number in range(5):
        space.patch("pod", pod, {"metadata": {"annotations": {"poke": str(number)}}})
    eventually(lambda: space.status("bert"))
    assert (status_writes(written, space), replica.asked) == (before, asked)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"ok"),
        (503, b"x" * 200_000),
        (302, b"http://127.0.0.1:1/readyz"),
        (503, {"stage": "loading", "phase": "weights", "done_bytes": 10**40, "total_bytes": 10**41}),
        (503, {"stage": "loading", "phase": "weights" * 50}),
        (503, {"stage": "loading", "phase": "w", "phase_seconds": {str(n): 1.0 for n in range(1000)}}),
    ],
    ids=["text", "large", "redirect", "huge numbers", "long phase", "many phases"],
)
def test_an_unusable_answer_is_no_answer(space, replica, pod, answer):
    replica.answer = answer
    loading(space, pod)
    eventually(lambda: replica.asked)
    assert space.wait_for_reason("bert", "Loading") == "The server is loading google-bert/bert-large-uncased."
    space.set_pod_status(pod, ready_status(space.need("pod", pod)))
    assert space.wait_for_reason("bert", "Serving") == ""
