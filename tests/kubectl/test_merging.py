import json

import pytest

from llmi_kubectl.merging import LAST_APPLIED, merge_file
from llmi_testing.inference import make_stored_body


def stored(spec, last=None):
    body = make_stored_body(**spec)
    if last is not None:
        body["metadata"]["annotations"] = {LAST_APPLIED: json.dumps({"spec": last})}
    return body


def test_a_new_resource_is_what_the_file_says():
    assert merge_file(None, {"spec": {"task": "fill-mask"}}) == {"task": "fill-mask"}


@pytest.mark.parametrize(
    ("was", "last", "file", "expected"),
    [
        pytest.param({"replicas": 3}, {}, {}, {"replicas": 3}, id="kubectl scale is kept"),
        pytest.param({"replicas": 3}, {"replicas": 3}, {}, {}, id="what the file drops goes"),
        pytest.param({"replicas": 3}, {"replicas": 1}, {"replicas": 2}, {"replicas": 2}, id="the file wins"),
        pytest.param({"paused": True}, {}, {"paused": None}, {}, id="null takes away"),
        pytest.param(
            {"limits": {"maxInputTokens": 1, "maxBatchTokens": 2}},
            {"limits": {"maxInputTokens": 1}},
            {"limits": {"requestTimeoutSeconds": 3}},
            {"limits": {"maxBatchTokens": 2, "requestTimeoutSeconds": 3}},
            id="blocks are merged inside",
        ),
        pytest.param(
            {"verify": [{"input": "a", "expect": "b"}]}, {}, {"verify": [{"input": "c", "expect": "d"}]},
            {"verify": [{"input": "c", "expect": "d"}]}, id="a list is one value",
        ),
    ],
)  # fmt: skip
def test_applying_a_file_merges_three_ways(was, last, file, expected):
    always = {"model": {"id": "a/b"}, "task": "fill-mask"}
    merged = merge_file(stored(always | was, always | last), {"spec": always | file})
    assert {key: value for key, value in merged.items() if key not in always} == expected


def test_an_unreadable_memory_of_the_last_time_takes_nothing_away():
    body = stored({"replicas": 3})
    body["metadata"]["annotations"] = {LAST_APPLIED: "{"}
    assert merge_file(body, {"spec": {}})["replicas"] == 3
