"""Requests by the thousand, made from the API's own description and of damaged bytes, against a server process."""

import itertools
import time
from collections import Counter

import pytest

from llmi_api.launch import Task
from llmi_testing.models import small_causal_model, small_model
from llmi_testing.request_fuzz import requests_for
from llmi_testing.served import served
from llmi_testing.verdict import fault_of
from llmi_testing.wire import send_all
from llmi_testing.wire_fuzz import make_wire

pytestmark = pytest.mark.timeout(600)  # starting a server imports PyTorch
SOAK = [pytest.mark.soak, pytest.mark.timeout(3600)]
BOX_SECONDS = 20
FEWEST = 50
MOST_SERIES = 1000


def bert(head):
    return small_model("bert", head)


SERVERS = {
    Task.FILL_MASK: lambda: bert("fill-mask"),
    Task.EMBEDDINGS: lambda: bert("base"),
    Task.TEXT_CLASSIFICATION: lambda: bert("text-classification"),
    Task.TOKEN_CLASSIFICATION: lambda: bert("token-classification"),
    Task.TEXT_GENERATION: small_causal_model,
}


@pytest.fixture(scope="module")
def start():
    """Start each server once, when the first test asks for it."""
    running, exits = {}, []

    def get(task):
        if task not in running:
            context = served(SERVERS[task](), task, max_body_bytes=100_000, body_timeout_seconds=2)
            running[task] = context.__enter__()
            exits.append(context)
        return running[task]

    yield get
    for context in exits:
        context.__exit__(None, None, None)


def boxed(count):
    """Say whether to go on: a run in the unit tier ends with its time, one of thousands with its count."""
    if count >= 1000:
        return lambda: True
    started, sent = time.monotonic(), itertools.count()
    return lambda: next(sent) < FEWEST or time.monotonic() - started < BOX_SECONDS


COUNTS = [
    (Task.FILL_MASK, 300),
    (Task.TEXT_GENERATION, 200),
    pytest.param(Task.FILL_MASK, 3000, marks=SOAK),
    pytest.param(Task.EMBEDDINGS, 2000, marks=SOAK),
    pytest.param(Task.TEXT_CLASSIFICATION, 1000, marks=SOAK),
    pytest.param(Task.TOKEN_CLASSIFICATION, 1000, marks=SOAK),
    pytest.param(Task.TEXT_GENERATION, 3000, marks=SOAK),
]


@pytest.mark.parametrize(("task", "count"), COUNTS)
def test_requests_made_from_the_description_find_no_fault(start, task, count):
    server, statuses, seconds, faults = start(task), Counter(), [], []
    document, keep_on = server.http.get("/openapi.json").json(), boxed(count)
    for made in itertools.takewhile(lambda _: keep_on(), requests_for(document, count)):
        began = time.monotonic()
        answer = server.http.request(made.method, made.path, headers=made.headers, content=made.content)
        seconds.append(time.monotonic() - began)
        statuses[answer.status_code] += 1
        fault = fault_of(answer.status_code, answer.headers, answer.content, path=made.path, method=made.method)
        if fault is not None:
            faults.append(f"{fault} for {made}")
    slowest = sorted(seconds)[-len(seconds) // 100]
    print(f"\n{task}: {len(seconds)} requests, {dict(statuses)}, p99 {slowest:.3f} s")
    assert not faults, "\n".join(faults[:10])
    assert statuses[200] > sum(statuses.values()) / 25, "most were not even understood"
    assert len(server.samples()) < MOST_SERIES, "each strange request has made series of its own"
    server.assert_well()


@pytest.mark.parametrize(
    ("task", "count"),
    [
        (Task.FILL_MASK, 400),
        (Task.TEXT_GENERATION, 300),
        pytest.param(Task.FILL_MASK, 6000, marks=SOAK),
        pytest.param(Task.TEXT_GENERATION, 4000, marks=SOAK),
    ],
)
def test_damaged_bytes_find_no_fault(start, task, count):
    server = start(task)
    began = time.monotonic()
    tally = send_all(server.port, map(make_wire, range(count)), at_once=8, keep_on=boxed(count))
    print(f"\n{task}: {count} connections in {time.monotonic() - began:.0f} s, {dict(tally.statuses)}")
    assert not tally.faults, "\n".join(tally.faults[:10])
    assert tally.statuses[200]
    assert len(server.samples()) < MOST_SERIES
    server.assert_well()
