from datetime import UTC, datetime

import pytest

from llmi_kubectl.picture import MOST_EVENTS, draw_picture
from llmi_testing.inference import make_stored_body

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
STAMP = "2026-11-25T11:58:00Z"


def pod(name="bert-1", *, ready=True, **status):
    given = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}], **status}
    metadata = {"name": name, "creationTimestamp": STAMP, "labels": {"pod-template-hash": "abc"}}
    return {"metadata": metadata, "spec": {"nodeName": "n1"}, "status": given}


def container(name="server", *, ready=False, restarts=0, **state):
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


def event(reason, at, *, count=1, name="bert", **more):
    about = {"kind": "LLMInference", "name": name}
    return {"reason": reason, "type": "Normal", "message": "m", "lastTimestamp": at, "involvedObject": about,
            "count": count, **more}  # fmt: skip


def test_a_resource_that_no_operator_has_seen_is_shown_without_status():
    picture = draw_picture(make_stored_body(), [], [], NOW)
    assert (picture.model, picture.task, picture.ready) == ("google-bert/bert-large-uncased", "fill-mask", "0/?")
    assert picture.behind
    assert picture.url is None


def test_the_status_is_shown_in_its_own_words():
    status = {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Serving"}],
        "ready": "1/1",
        "url": "http://bert.models.svc",
        "addresses": ["http://bert.models.svc"],
        "model": {"name": "google-bert/bert-large-uncased", "revision": "a" * 40},
        "startup": {"replica": "bert-1", "scheduled": "1s", "loaded": "2s", "fetchedBytes": 7},
        "memory": {"measuredBytes": 5},
        "scaling": {
            "because": "4: 37 in flight, target 10 each",
            "source": "requests in flight: prometheus-adapter in monitoring",
        },
    }
    picture = draw_picture({**make_stored_body(), "status": status}, [pod()], [], NOW)
    assert (picture.ready, picture.reason, picture.behind) == ("1/1", "Serving", False)
    assert picture.phases == {"scheduled": "1s", "loaded": "2s"}
    assert picture.reasons == {"scaling": "4: 37 in flight, target 10 each"}
    assert picture.metrics == "requests in flight: prometheus-adapter in monitoring"
    assert picture.memory_measured_bytes == 5
    (replica,) = picture.replicas
    assert (replica.name, replica.ready, replica.node, replica.version) == ("bert-1", True, "n1", "abc")
    assert replica.age_seconds == 120


@pytest.mark.parametrize(
    ("containers", "state"),
    [
        ([container(waiting={"reason": "ImagePullBackOff"})], "ImagePullBackOff"),
        (
            [container("fetch", running={"startedAt": STAMP}), container(waiting={"reason": "PodInitializing"})],
            "fetching",
        ),
        ([container(running={"startedAt": STAMP})], "starting"),
        ([container(running={"startedAt": STAMP}, ready=True)], "serving"),
        ([container(terminated={"exitCode": 137, "reason": "OOMKilled"})], "OOMKilled"),
        ([], "running"),
    ],
)
def test_what_a_replica_does_is_one_word(containers, state):
    (replica,) = draw_picture(make_stored_body(), [pod(containerStatuses=containers)], [], NOW).replicas
    assert replica.state == state


def test_a_stopping_replica_is_neither_ready_nor_serving():
    leaving = pod(containerStatuses=[container(running={}, ready=True, restarts=2)])
    leaving["metadata"]["deletionTimestamp"] = STAMP
    (replica,) = draw_picture(make_stored_body(), [leaving], [], NOW).replicas
    assert (replica.state, replica.ready, replica.restarts) == ("stopping", False, 2)


def test_the_latest_events_come_first_and_no_more_than_fit():
    events = [event(f"E{number}", f"2026-11-25T11:{number:02}:00Z") for number in range(12)]
    shown = draw_picture(make_stored_body(), [], events, NOW).events
    assert [item.reason for item in shown] == [f"E{number}" for number in range(11, 11 - MOST_EVENTS, -1)]
    assert shown[0].about == "LLMInference/bert"


def test_an_event_of_a_series_counts_when_it_was_seen_last():
    series = event("Old", None, count=None, series={"count": 9, "lastObservedTime": "2026-11-25T11:59:30.000000Z"})
    (shown,) = draw_picture(make_stored_body(), [], [series], NOW).events
    assert (shown.age_seconds, shown.count) == (30, 9)
