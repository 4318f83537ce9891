"""A child that somebody deletes comes back, whatever kind it is, and nothing else is touched."""

import time

import pytest

from llmi_testing.end_state import is_settled
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
# Far below the ten minutes after which everything is looked at anyway; how long it took is reported.
UP_SECONDS = 90.0
WHOLE = {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 4}}
"""With it every kind of child exists that the plan knows without files or claims."""


@pytest.fixture
def whole(api, namespace, operator):
    api.create("llminferences", namespace, make_body(**WHOLE))
    eventually(lambda: is_settled(api, namespace, "bert"), seconds=40)
    return api.need("llminferences", namespace, "bert")


def uids(api, resource):
    return {key: body["metadata"]["uid"] for key, body in api.children(resource).items()}


def created_since(proxy, start):
    return [one.call.kind for one in proxy.log[start:] if one.call.concerns_resources and one.status == 201]


def test_each_child_comes_back_within_seconds(api, proxy, whole, namespace, record_property):
    before = uids(api, whole)
    assert {kind for kind, _ in before} >= {"deployments", "services", "horizontalpodautoscalers"}
    slowest = 0.0
    for kind, name in before:
        known = uids(api, whole)
        start, began = len(proxy.log), time.monotonic()
        api.delete(kind, namespace, name)
        is_back = lambda: uids(api, whole).get((kind, name), known[kind, name]) != known[kind, name]  # noqa: B023, E731
        eventually(is_back, f"{kind} {name} is back", seconds=UP_SECONDS)
        slowest = max(slowest, time.monotonic() - began)
        eventually(lambda: is_settled(api, namespace, "bert"))
        after = uids(api, whole)
        assert {key: uid for key, uid in after.items() if key != (kind, name)} == {
            key: uid for key, uid in known.items() if key != (kind, name)
        }
        # It can be seen before the answer to its maker is in the log.
        eventually(lambda: created_since(proxy, start), f"{kind} was created")  # noqa: B023
        assert created_since(proxy, start) == [kind]
    record_property("slowest_seconds", round(slowest, 1))


def test_a_child_deleted_again_and_again_comes_back_each_time(api, whole, namespace):
    for _ in range(5):
        before = api.uid("services", namespace, "bert")
        api.delete("services", namespace, "bert")
        eventually(lambda: api.uid("services", namespace, "bert") not in {None, before})  # noqa: B023
