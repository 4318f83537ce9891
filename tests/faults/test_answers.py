"""Requests that fail: nothing is lost, nothing is done twice, and who asks for patience gets it.

All cases run at the same time, each in its namespace, so that they do not wait for each other.
"""

import pytest

from llmi_testing.end_state import is_settled
from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import WRITES, Answer, DropAfter, DropBefore, Fault, Match
from llmi_testing.inference import make_body

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240), pytest.mark.usefixtures("operator")]
RETRY_AFTER = 3
WRITTEN = (("deployments", ""), ("services", ""), ("llminferences", "status"))
ACTIONS = {
    "lost before it arrived": DropBefore(),
    "lost after it was done": DropAfter(),
    "409": Answer(409),
    "429": Answer(429, retry_after=RETRY_AFTER),
    "500": Answer(500),
    "503": Answer(503),
    "504": Answer(504),
}
FIRST_WRITES = tuple(Match(verbs=WRITES, kinds=(kind,), subresource=sub) for kind, sub in WRITTEN)
FIRST_READS = tuple(Match(verbs=("get",), kinds=(kind,)) for kind in ("deployments", "llminferences"))
ONCE = {f"{words}, every first write": (action, FIRST_WRITES, 1) for words, action in ACTIONS.items()}
FIVE_TIMES = {
    f"{words}, five times, {kind}": (action, (Match(verbs=WRITES, kinds=(kind,), subresource=sub),), 5)
    for words, action in ACTIONS.items()
    for kind, sub in (("deployments", ""), ("llminferences", "status"))
}
READS = {f"{words}, every first read": (action, FIRST_READS, 1) for words, action in ACTIONS.items()}
CASES = ONCE | FIVE_TIMES | READS


@pytest.fixture(scope="module")
def trials(api, proxy, operator):
    """All cases, begun; the namespace of each."""
    namespaces = {case: f"answer-{number}" for number, case in enumerate(CASES)}
    for case, (action, matches, times) in CASES.items():
        namespace = namespaces[case]
        api.create("namespaces", "", {"metadata": {"name": namespace}})
        proxy.use(*(Fault(_within(match, namespace), action, times=times) for match in matches))
    for namespace in namespaces.values():
        api.create("llminferences", namespace, make_body())
    yield namespaces
    for namespace in namespaces.values():
        api.delete("namespaces", "", namespace)


@pytest.fixture(autouse=True)
def no_faults():
    """They stay for the whole module."""


def _within(match, namespace):
    return Match(verbs=match.verbs, kinds=match.kinds, subresource=match.subresource, namespace=namespace)


@pytest.mark.parametrize("case", CASES)
def test_after_failed_requests_it_converges_without_doing_anything_twice(case, trials, api, proxy):
    namespace = trials[case]
    # Five failures of one resource in a row take half a minute of patience, by design.
    eventually(lambda: is_settled(api, namespace, "bert"), seconds=120)
    action, matches, times = CASES[case]
    hit = [one for one in proxy.log if one.action is action and one.call.namespace == namespace]
    # What was done is known from a watch, and not asked for again.
    assert len(hit) >= len(matches) if isinstance(action, DropAfter) else len(hit) == times * len(matches)
    created = [one.call.kind for one in proxy.writes(namespace) if one.status == 201]
    assert len(created) == len(set(created))
    assert {"deployments", "services"} <= set(created)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("429")])
def test_nobody_is_asked_again_before_the_time_that_was_asked_for(case, trials, api, proxy):
    namespace = trials[case]
    eventually(lambda: is_settled(api, namespace, "bert"), seconds=120)
    refused = [one for one in proxy.log if one.told == 429 and one.call.namespace == namespace]
    assert refused
    for one in refused:
        same = [
            later.at - one.answered_at
            for later in proxy.calls(Match(namespace=namespace))
            if later.at > one.at and _pattern(later) == _pattern(one)
        ]
        assert min(same) >= RETRY_AFTER


def _pattern(exchange):
    return exchange.call.verb, exchange.call.kind, exchange.call.subresource
