"""The scheduler never exceeds its budget, loses nothing, and lets nobody be overtaken for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_server.errors import QueueFullError
from llmi_server.scheduling.limits import Limits
from llmi_server.scheduling.scheduler import Scheduler

BUDGET = 64


def make(*, queue=1000, tokens=10**9, budget=BUDGET, preferred=10**9, items=512, padding_free=False):
    limits = Limits(
        max_queued_requests=queue,
        max_queued_tokens=tokens,
        max_batch_tokens=budget,
        preferred_batch_tokens=preferred,
        max_batch_items=items,
        padding_free=padding_free,
    )
    return Scheduler(limits)


def submit(scheduler, request, lengths, deadline=1e9):
    scheduler.admit(request, deadline=deadline)
    scheduler.enqueue(request, lengths)


def run_all(scheduler):
    batches, complete = [], []
    while (batch := scheduler.next_batch()) is not None:
        batches.append(batch)
        complete += scheduler.fold_back(batch)
    return batches, complete


requests = st.lists(st.lists(st.integers(1, BUDGET), min_size=1, max_size=6), min_size=1, max_size=30)


@given(requests, st.integers(1, 8))
def test_every_text_is_computed_once_within_the_budget(lengths, items):
    scheduler = make(items=items)
    for request, texts in enumerate(lengths):
        submit(scheduler, request, texts)
    batches, complete = run_all(scheduler)
    computed = [(item.request, item.index) for batch in batches for item in batch.items]
    assert sorted(computed) == [(r, i) for r, texts in enumerate(lengths) for i in range(len(texts))]
    assert sorted(complete) == list(range(len(lengths)))
    for batch in batches:
        assert batch.padded_tokens <= BUDGET
        assert len(batch.items) <= items
    assert scheduler.waiting_requests == scheduler.running_requests == 0


@given(requests)
def test_each_batch_holds_the_text_that_came_first(lengths):
    scheduler = make()
    for request, texts in enumerate(lengths):
        submit(scheduler, request, texts)
    left = list(range(sum(map(len, lengths))))
    while (batch := scheduler.next_batch()) is not None:
        arrivals = [item.arrival for item in batch.items]
        assert left[0] in arrivals
        left = [arrival for arrival in left if arrival not in arrivals]
        scheduler.fold_back(batch)


@given(requests, st.data())
def test_cancelled_requests_are_never_computed_and_others_all_are(lengths, data):
    scheduler = make()
    for request, texts in enumerate(lengths):
        submit(scheduler, request, texts)
    first = scheduler.next_batch()
    gone = data.draw(st.sets(st.integers(0, len(lengths) - 1)))
    for request in gone:
        scheduler.cancel(request)
    complete = scheduler.fold_back(first)
    batches, more = run_all(scheduler)
    assert not gone & {item.request for batch in batches for item in batch.items}
    assert sorted(complete + more) == [request for request in range(len(lengths)) if request not in gone]


@given(st.lists(st.integers(1, BUDGET), min_size=1, max_size=40))
def test_texts_of_one_batch_are_neighbours_in_length(lengths):
    scheduler = make()
    for request, tokens in enumerate(lengths):
        submit(scheduler, request, [tokens])
    waiting = sorted(lengths)
    while (batch := scheduler.next_batch()) is not None:
        inside = sorted(item.tokens for item in batch.items)
        start = next(i for i in range(len(waiting)) if waiting[i : i + len(inside)] == inside)
        del waiting[start : start + len(inside)]
        scheduler.fold_back(batch)


def test_a_text_longer_than_the_preferred_size_is_computed_alone():
    scheduler = make(preferred=10)
    submit(scheduler, 1, [40])
    submit(scheduler, 2, [40])
    assert [len(batch.items) for batch in run_all(scheduler)[0]] == [1, 1]


@given(requests)
def test_an_engine_without_padding_fills_its_batches_by_what_it_computes(lengths):
    scheduler = make(padding_free=True)
    for request, texts in enumerate(lengths):
        submit(scheduler, request, texts)
    batches, complete = run_all(scheduler)
    assert sorted(complete) == list(range(len(lengths)))
    assert all(sum(item.tokens for item in batch.items) <= BUDGET for batch in batches)


def test_an_engine_without_padding_gets_more_texts_of_mixed_length_into_a_batch():
    for padding_free, texts in ((False, 2), (True, 4)):
        scheduler = make(padding_free=padding_free)
        submit(scheduler, 1, [30, 20, 5, 2])
        assert len(scheduler.next_batch().items) == texts


def test_the_queue_refuses_one_too_many_and_opens_when_computing_begins():
    scheduler = make(queue=2)
    submit(scheduler, 1, [5])
    submit(scheduler, 2, [5])
    with pytest.raises(QueueFullError):
        scheduler.admit(3, deadline=1)
    batch = scheduler.next_batch()
    assert (scheduler.waiting_requests, scheduler.running_requests) == (0, 2)
    scheduler.admit(3, deadline=1)
    scheduler.fold_back(batch)
    assert scheduler.waiting_requests == 1


def test_the_queue_refuses_tokens_that_are_too_many_together_but_never_a_lone_request():
    scheduler = make(tokens=20)
    submit(scheduler, 1, [15, 15])
    scheduler.admit(2, deadline=1)
    with pytest.raises(QueueFullError):
        scheduler.enqueue(2, [1])
    scheduler.next_batch()
    assert scheduler.enqueue(2, [1])


def test_a_request_is_complete_when_all_batches_with_its_texts_are_computed():
    scheduler = make(items=1)
    submit(scheduler, 1, [5, 5])
    first, second = scheduler.next_batch(), scheduler.next_batch()
    assert scheduler.fold_back(second) == []
    assert scheduler.fold_back(first) == [1]


def test_an_admitted_request_takes_a_place_before_it_has_texts():
    scheduler = make(queue=1)
    scheduler.admit(1, deadline=1)
    with pytest.raises(QueueFullError):
        scheduler.admit(2, deadline=1)
    assert scheduler.next_batch() is None
    scheduler.cancel(1)
    scheduler.admit(2, deadline=1)


def test_a_request_cancelled_before_its_texts_came_is_not_queued():
    scheduler = make()
    scheduler.admit(1, deadline=1)
    scheduler.cancel(1)
    assert not scheduler.enqueue(1, [5])
    assert scheduler.next_batch() is None


def test_late_requests_expire_and_others_stay():
    scheduler = make()
    submit(scheduler, 1, [5], deadline=10)
    submit(scheduler, 2, [5], deadline=20)
    assert scheduler.expire(10) == [1]
    assert [item.request for item in scheduler.next_batch().items] == [2]


def test_cancelling_what_is_unknown_does_nothing():
    make().cancel(99)
