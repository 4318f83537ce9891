import pytest

from llmi_kubectl.advice import advise

GIBIBYTE = 2**30


def pod(memory, at="2026-11-25T12:00:00Z"):
    resources = {"requests": {"memory": memory}} if memory else {}
    containers = [{"name": "server", "resources": resources}]
    return {"metadata": {"name": "a", "creationTimestamp": at}, "spec": {"containers": containers}}


def look(measured, *pods):
    return list(advise({"memory": {"measuredBytes": measured}}, pods))


def test_much_more_than_was_ever_used_is_told_with_the_numbers():
    assert look(GIBIBYTE, pod("8Gi")) == [
        "A replica requests 8.00 GiB of memory, and the latest start took at most 1.00 GiB: 1536Mi in spec.resources "
        "would hold that and 30% more. Look at it under your own traffic before you lower it."
    ]


@pytest.mark.parametrize("memory", ["2Gi", "1Gi", None])
def test_what_saves_little_or_is_not_known_is_not_worth_a_word(memory):
    assert look(GIBIBYTE, pod(memory)) == []


def test_without_a_measurement_or_a_replica_there_is_no_advice():
    assert look(None, pod("8Gi")) == []
    assert look(GIBIBYTE) == []
    assert list(advise({}, [pod("8Gi")])) == []


def test_the_newest_replica_counts():
    assert look(GIBIBYTE, pod("8Gi", "2026-11-25T11:00:00Z"), pod("2Gi")) == []
