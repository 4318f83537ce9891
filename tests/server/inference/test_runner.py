"""Whatever happens, each enqueued request is delivered once."""

import math
import queue
import threading

import pytest

from llmi_server.engine.protocol import EngineOutOfMemoryError
from llmi_server.errors import DrainingError, EngineFailedError, OutOfMemoryError
from llmi_server.inference.runner import BatchRunner
from llmi_server.scheduling.limits import Limits
from llmi_server.scheduling.scheduler import Scheduler
from llmi_server.telemetry import Telemetry
from llmi_testing.engine import FakeCodec, FakeEngine

LIMITS = Limits(max_queued_requests=2000, max_queued_tokens=10**9, max_batch_tokens=64, preferred_batch_tokens=64)


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def runner(engine):
    running = BatchRunner(engine=engine, scheduler=Scheduler(LIMITS), telemetry=Telemetry())
    running.start()
    yield running
    engine.gate.set()
    running.stop()
    assert running.join(60)


def submit(runner, *texts, deadline=math.inf):
    results = queue.SimpleQueue()
    ticket = runner.admit(deadline=deadline)
    runner.enqueue(ticket, FakeCodec().encode(texts), results.put)
    return ticket, results


def test_a_thousand_requests_from_many_threads_get_their_own_answers(runner):
    def client(number):
        for turn in range(50):
            words = [f"w{number}" * (1 + (number + turn) % 3), f"x{turn}"]
            _, results = submit(runner, *words)
            expected = [float(sum(text.ids)) for text in FakeCodec().encode(words)]
            if [float(output[0]) for output in results.get(timeout=60)] != expected:
                wrong.append(words)

    wrong = []
    threads = [threading.Thread(target=client, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("raised", "told"), [(RuntimeError("x"), EngineFailedError), (EngineOutOfMemoryError("x"), OutOfMemoryError)]
)
def test_an_error_fails_its_batch_and_the_next_is_computed(runner, engine, raised, told):
    engine.error = raised
    assert isinstance(submit(runner, "a")[1].get(timeout=60), told)
    engine.error = None
    assert len(submit(runner, "a")[1].get(timeout=60)) == 1


def test_stopping_tells_those_who_wait_and_those_who_come_later(runner, engine):
    engine.gate.clear()
    _, running = submit(runner, "a")
    engine.entered.acquire()
    _, waiting = submit(runner, "b")
    runner.stop()
    assert isinstance(running.get(timeout=60), DrainingError)
    assert isinstance(waiting.get(timeout=60), DrainingError)
    assert isinstance(submit(runner, "c")[1].get(timeout=60), DrainingError)
    engine.gate.set()
    assert runner.join(60)
    assert running.empty()


def test_a_cancelled_request_is_neither_computed_nor_delivered(runner, engine):
    engine.gate.clear()
    submit(runner, "a")
    engine.entered.acquire()
    ticket, gone = submit(runner, "gone")
    runner.cancel(ticket)
    engine.gate.set()
    submit(runner, "after")[1].get(timeout=60)
    assert gone.empty()
    assert "gone" not in [text.text for batch in engine.batches for text in batch]


def test_a_long_batch_is_seen_from_outside(runner, engine):
    assert runner.stuck_seconds() == 0
    engine.gate.clear()
    _, results = submit(runner, "a")
    engine.entered.acquire()
    assert runner.stuck_seconds() > 0
    engine.gate.set()
    results.get(timeout=60)
