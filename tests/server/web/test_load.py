"""More requests than can be computed, and clients that leave, against a server process: nothing is lost or mixed up."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmi_api.launch import Task
from llmi_testing.eventually import eventually
from llmi_testing.models import small_causal_model, small_model
from llmi_testing.open_load import Planned, run_load
from llmi_testing.served import served
from llmi_testing.server import MODEL_NAME
from llmi_testing.verdict import fault_of

pytestmark = pytest.mark.timeout(600)  # starting a server imports PyTorch
SOAK = [pytest.mark.soak, pytest.mark.timeout(3600)]
QUEUE = 8
TEXTS = [f"request {number} " + "word " * (number % 14) for number in range(64)]  # all fit the small model
EMBED, CHAT = "/v1/embeddings", "/v1/chat/completions"


@pytest.fixture(scope="module")
def encoder():
    with served(small_model("bert", "base"), Task.EMBEDDINGS, max_queued_requests=QUEUE) as running:
        yield running


@pytest.fixture(scope="module")
def generator():
    settings = {"max_queued_requests": QUEUE, "max_sequences": 4, "request_timeout_seconds": 120}
    with served(small_causal_model(), Task.TEXT_GENERATION, **settings) as running:
        yield running


def embed(texts, **extra):
    return Planned(path=EMBED, body={"model": MODEL_NAME, "input": texts}, **extra)


def chat(text, *, tokens=200, stream=True, **extra):
    messages = [{"role": "user", "content": text}]
    body = {"model": MODEL_NAME, "messages": messages, "max_tokens": tokens, "stream": stream, "temperature": 0}
    return Planned(path=CHAT, body=body, **extra)


def counts(server):
    """The server's own counts of requests by status."""
    found = Counter()
    for sample in server.samples():
        if sample.name == "llmi_requests_total" and sample.labels["operation"] in ("embeddings", "chat"):
            found[int(sample.labels["code"])] += int(sample.value)
    return found


def faults(outcomes, path=EMBED):
    judged = (
        fault_of(one.answer.status, one.answer.headers, one.answer.body, path=path) for one in outcomes if one.answer
    )
    return [fault for fault in judged if fault]


def capacity_is_whole(server, make):
    """As many requests as may wait and run at once are all taken, one after another at the least."""
    eventually(server.is_idle, "nothing is left", seconds=120)
    outcomes = run_load(server.port, [make() for _ in range(QUEUE)])
    assert [one.status for one in outcomes] == [200] * QUEUE


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=SOAK)])
def test_leaving_clients_leak_no_place_and_harm_nobody(encoder, count):
    chance, before = random.Random(count), counts(encoder)
    leaving = [
        embed(TEXTS[:40], at=chance.uniform(0, count / 100), leave_after=chance.expovariate(30)) for _ in range(count)
    ]
    staying = [embed(TEXTS[0], at=chance.uniform(0, count / 100)) for _ in range(count // 4)]
    outcomes = run_load(encoder.port, leaving + staying)
    stayed = [one for one in outcomes if one.planned.leave_after is None]
    assert {one.status for one in stayed} <= {200, 429}
    assert not faults(outcomes)
    capacity_is_whole(encoder, lambda: embed(TEXTS[0]))
    expected = len(outcomes) + QUEUE
    eventually(lambda: sum((counts(encoder) - before).values()) == expected, "each is counted once")
    seen = counts(encoder) - before
    print(f"\nencoder: {count} leaving clients, {sum(one.left for one in outcomes)} left in time, counted {dict(seen)}")
    encoder.assert_well()


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=SOAK)])
def test_leaving_clients_leak_no_row_of_the_generation_and_its_computing_stops(generator, count):
    chance = random.Random(count)
    plan = [
        chat(
            f"number {number}",
            stream=number % 3 > 0,
            at=chance.uniform(0, count / 20),
            leave_after=chance.expovariate(3),
        )
        for number in range(count)
    ]
    outcomes = run_load(generator.port, plan)
    assert not faults(outcomes, CHAT)
    capacity_is_whole(generator, lambda: chat("a", tokens=2, stream=False))
    generated = generator.metric("llmi_tokens_total", type="generated")
    assert generator.http.get("/livez").status_code == 200
    assert generator.metric("llmi_tokens_total", type="generated") == generated, "it computes for nobody"
    assert generator.metric("llmi_kv_cache_usage_ratio") == 0
    used = generator.http.get("/readyz").json()["usage"]
    assert 0 < used["busy_seconds"] < used["serving_seconds"]
    assert generator.metric("llmi_engine_busy_seconds_total") == pytest.approx(used["busy_seconds"], abs=2e-6)
    assert generator.metric("llmi_memory_peak_bytes") >= generator.memory_bytes()
    left = sum(one.left for one in outcomes)
    print(f"\ngeneration: {count} leaving clients, {left} left in time, counted {dict(counts(generator))}")
    generator.assert_well()


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=SOAK)])
def test_every_request_gets_its_own_answer_an_error_or_was_given_up_by_both_sides_counts(encoder, count):
    chance, before = random.Random(count), counts(encoder)
    vectors = {text: vector_of(encoder, text) for text in TEXTS}
    plan = []
    for number in range(count):
        texts, at = chance.choices(TEXTS, k=chance.choice((1, 1, 2, 5))), number / 250
        kind = chance.random()
        if kind < 0.1:
            plan.append(embed(texts, at=at, tag="leaves", leave_after=chance.expovariate(50)))
        elif kind < 0.2:
            plan.append(embed([*texts, ""], at=at, tag="wrong"))
        else:
            plan.append(embed(texts, at=at, tag="stays"))
    outcomes = run_load(encoder.port, plan)
    assert not faults(outcomes)
    for one in outcomes:
        assert one.left or one.status in ({400, 429} if one.planned.tag == "wrong" else {200, 429}), one
        if one.status == 200:
            assert_own_vectors(one, vectors)
    expected = count + len(TEXTS)
    eventually(lambda: sum((counts(encoder) - before).values()) == expected, "each is counted once")
    theirs, ours = Counter(one.status for one in outcomes), counts(encoder) - before
    print(f"\n{count} requests; by the clients' count {dict(theirs)} (0: left), by the server's {dict(ours)}")
    for status in (200, 400, 429):
        extra = len(TEXTS) if status == 200 else 0
        assert theirs[status] + extra <= ours[status] <= theirs[status] + extra + theirs[0]


def vector_of(server, text):
    (outcome,) = run_load(server.port, [embed(text)])
    return outcome.document["data"][0]["embedding"]


def assert_own_vectors(outcome, vectors):
    data = outcome.document["data"]
    assert [entry["index"] for entry in data] == list(range(len(data)))
    for entry, text in zip(data, outcome.planned.body["input"], strict=True):
        assert entry["embedding"] == pytest.approx(vectors[text], abs=1e-4)


def test_four_times_more_than_it_can_do_is_refused_in_good_form_while_probes_are_answered(encoder):
    alone = run_load(encoder.port, [embed(TEXTS) for _ in range(QUEUE)])
    each = max(one.seconds for one in alone) / QUEUE
    memory = encoder.memory_bytes()
    plan = [embed(TEXTS, at=number * each / 4) for number in range(240)]
    probes = [Planned(path=path, at=place * each) for place in range(10) for path in ("/livez", "/readyz", "/metrics")]
    outcomes = run_load(encoder.port, plan + probes)
    asked = [one for one in outcomes if one.planned.path == EMBED]
    statuses = Counter(one.status for one in asked)
    print(f"\n{dict(statuses)}, memory {encoder.memory_bytes() / memory:.2f} times that at capacity")
    assert set(statuses) == {200, 429}
    assert not faults(asked)
    assert all(one.status == 200 for one in outcomes if one.planned.path != EMBED)
    assert encoder.memory_bytes() <= 1.2 * memory
    encoder.assert_well()


def test_a_server_that_is_killed_under_load_serves_again():
    folder, plan = small_model("bert", "base"), [embed(TEXTS) for _ in range(40)]
    with served(folder, Task.EMBEDDINGS, max_queued_requests=QUEUE) as first, ThreadPoolExecutor(1) as threads:
        load = threads.submit(run_load, first.port, plan)
        eventually(lambda: counts(first)[200], "it is answering")
        first.process.kill()
        for one in load.result():
            assert one.answer is None or not fault_of(one.status, one.answer.headers, one.answer.body, path=EMBED)
    with served(folder, Task.EMBEDDINGS) as second:
        assert [one.status for one in run_load(second.port, plan[:1])] == [200]


@pytest.mark.soak
@pytest.mark.timeout(4000)
def test_an_hour_at_saturation_fails_no_probe(encoder):
    end = time.monotonic() + 3600
    while time.monotonic() < end:
        plan = [embed(TEXTS, at=number / 50) for number in range(3000)]
        probes = [Planned(path=path, at=second) for second in range(60) for path in ("/livez", "/readyz", "/metrics")]
        outcomes = run_load(encoder.port, plan + probes)
        assert {one.status for one in outcomes if one.planned.path != EMBED} == {200}
    encoder.assert_well()
