"""Watches that break, fall silent, lag behind or disorder."""

import pytest

from llmi_testing.end_state import is_settled
from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import (
    Answer,
    Cut,
    Fault,
    Hide,
    Hold,
    Match,
    Reverse,
    Silence,
)
from llmi_testing.inference import make_body

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
WATCHES = Match(verbs=("watch",))
# A silent watch is given up after 25 s; beyond that there is room for a machine that has other things to do.
SECONDS = 90.0


@pytest.fixture
def bert(api, namespace, operator):
    """A resource that is ready."""
    api.create("llminferences", namespace, make_body())
    eventually(lambda: is_settled(api, namespace, "bert"))
    return namespace


def edit(api, namespace, replicas):
    api.patch("llminferences", namespace, "bert", {"spec": {"replicas": replicas}})


def replicas(api, namespace):
    return api.need("deployments", namespace, "bert")["spec"]["replicas"]


def test_an_edit_is_noticed_when_every_watch_has_fallen_silent(api, proxy, bert, audit):
    proxy.use(Fault(WATCHES, Silence()))
    with audit.excused():
        edit(api, bert, 3)
        eventually(lambda: replicas(api, bert) == 3, seconds=SECONDS)
        eventually(lambda: is_settled(api, bert, "bert"), seconds=SECONDS)


def test_a_child_deleted_while_the_watches_are_silent_comes_back(api, proxy, bert, audit):
    before = api.uid("services", bert, "bert")
    proxy.use(Fault(WATCHES, Silence()))
    with audit.excused():
        api.delete("services", bert, "bert")
        eventually(lambda: api.uid("services", bert, "bert") not in {None, before}, seconds=SECONDS)


def test_no_edit_is_lost_when_every_watch_is_cut_every_second(api, proxy, bert):
    proxy.use(Fault(WATCHES, Cut(1.0)))
    # From two on there is a budget for disruptions, so that an edit deletes nothing.
    for number in range(1, 11):
        edit(api, bert, number % 4 + 2)
        eventually(lambda number=number: replicas(api, bert) == number % 4 + 2)
    assert len(proxy.calls(WATCHES)) > 10
    assert not [one for one in proxy.writes(bert) if one.call.verb == "delete"]


def test_edits_in_a_gap_that_the_api_server_remembers_no_more_are_not_lost(server, api, proxy, bert, audit):
    api.create("llminferences", bert, make_body("goes"))
    api.create("llminferences", bert, make_body("made-anew"))
    eventually(lambda: is_settled(api, bert, "goes") and is_settled(api, bert, "made-anew"))
    old = api.need("llminferences", bert, "made-anew")["metadata"]["uid"]
    service = api.uid("services", bert, "bert")
    with audit.excused():
        with proxy.partition():
            edit(api, bert, 4)
            api.delete("services", bert, "bert")
            api.delete("llminferences", bert, "goes")
            api.delete("llminferences", bert, "made-anew")
            eventually(lambda: api.get("llminferences", bert, "made-anew") is None)
            api.create("llminferences", bert, make_body("made-anew", replicas=2))
            api.create("llminferences", bert, make_body("comes"))
            # Started anew, it knows only the present: the operator's watches are answered 410.
            with server.outage():
                pass
        eventually(lambda: replicas(api, bert) == 4, seconds=SECONDS)
        eventually(lambda: is_settled(api, bert, "comes"), seconds=SECONDS)
        eventually(lambda: api.uid("services", bert, "bert") not in {None, service}, seconds=SECONDS)
        eventually(lambda: owner(api, bert, "made-anew") not in {None, old}, seconds=SECONDS)
        eventually(lambda: api.get("deployments", bert, "goes") is None, seconds=SECONDS)
    assert not [one for one in proxy.writes(bert) if one.call.verb == "delete"]


def owner(api, namespace, name):
    body = api.get("deployments", namespace, name)
    return body["metadata"]["ownerReferences"][0]["uid"] if body else None


@pytest.mark.parametrize(
    ("words", "action"), [("held for a second", Hold(1.0)), ("in the opposite order", Reverse(0.7))]
)
def test_events_out_of_time_change_nothing_in_the_end(api, proxy, bert, words, action):
    proxy.use(Fault(Match(namespace=bert), action))
    for number in (2, 5, 4, 3):
        edit(api, bert, number)
    service = api.uid("services", bert, "bert")
    api.delete("services", bert, "bert")
    eventually(lambda: replicas(api, bert) == 3)
    eventually(lambda: api.uid("services", bert, "bert") not in {None, service})
    eventually(lambda: is_settled(api, bert, "bert"))
    assert not [one for one in proxy.writes(bert) if one.call.verb == "delete"]


def test_hidden_events_are_made_up_for_by_the_last_one(api, proxy, bert):
    hide = Fault(Match(namespace=bert), Hide())
    proxy.use(hide)
    edit(api, bert, 2)
    edit(api, bert, 5)
    proxy.stop(hide)
    edit(api, bert, 3)
    eventually(lambda: replicas(api, bert) == 3)
    eventually(lambda: is_settled(api, bert, "bert"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_watches_and_listings_that_are_refused_are_tried_again(api, proxy, bert, audit, status):
    # Longer than kopf by itself would try.
    proxy.use(
        Fault(WATCHES, Cut()),
        Fault(Match(verbs=("watch", "list")), Answer(status, retry_after=1 if status == 429 else None), times=60),
    )
    with audit.excused():
        edit(api, bert, 2)
        eventually(lambda: replicas(api, bert) == 2, seconds=90)
