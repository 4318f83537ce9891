import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_operator.plan.drift import covers

LIVE = {
    "metadata": {"labels": {"ours": "1", "theirs": "2"}},
    "spec": {
        "containers": [
            {"name": "sidecar", "image": "theirs"},
            {"name": "server", "args": ["serve"], "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
        ],
        "nodeSelector": {"disk": "fast"},
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}


def wanted(**container):
    server = {"name": "server", "args": ["serve"], **container}
    return {"metadata": {"labels": {"ours": "1"}}, "spec": {"containers": [server]}}


def test_what_others_added_is_no_drift():
    assert covers(LIVE, wanted())


def test_a_number_that_the_server_rewrote_is_no_drift():
    assert covers(LIVE, wanted(resources={"requests": {"cpu": "1000m", "memory": "1024Mi"}}))


def test_a_target_that_the_server_rewrote_is_no_drift():
    def target(value):
        return {"metrics": [{"type": "Pods", "pods": {"target": {"type": "AverageValue", "averageValue": value}}}]}

    assert covers(target("1k"), target("1000"))
    assert not covers(target("1k"), target("100"))


@pytest.mark.parametrize(
    "change",
    [
        {"args": ["serve", "--fast"]},
        {"args": []},
        {"image": "ours"},
        {"resources": {"requests": {"cpu": "2"}}},
        {"resources": {"limits": {"cpu": "1"}}},
        {"name": "other"},
    ],
)
def test_anything_else_is_drift(change):
    assert not covers(LIVE, wanted(**change))


def test_an_extra_entry_in_an_atomic_map_is_drift():
    assert not covers(LIVE, {"spec": {"nodeSelector": {}}})
    assert covers(LIVE, {"spec": {"nodeSelector": {"disk": "fast"}}})


def test_an_empty_object_that_the_server_left_out_is_no_drift():
    assert covers({"spec": {}}, {"spec": {"tolerations": []}})


def test_what_is_no_quantity_equals_nothing():
    assert not covers({"limits": {"a": "x"}}, {"limits": {"a": "y"}})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), json))
def test_everything_covers_itself(body):
    assert covers(copy.deepcopy(body), body)
