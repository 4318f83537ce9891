"""Turns names from the queue into passes, on the replica that may write."""

import asyncio
import logging
import time
from collections.abc import Callable

from llmi_operator.cost_metrics import forget_costs
from llmi_operator.errors import LeadershipLostError
from llmi_operator.leader import Leader
from llmi_operator.metrics import PASS_SECONDS, PASSES
from llmi_operator.reconcile import Outcome, Parts, one_pass, tell_fault
from llmi_operator.store import Key
from llmi_operator.tracing.spans import Span, Tracer, exemplar_of, tracing
from llmi_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)


async def work(parts: Parts, queue: WorkQueue, leader: Leader) -> None:
    """Take names and make passes, for ever."""
    while True:
        key = await queue.take()
        outcome = Outcome()
        try:
            if leader.may_write:
                outcome = await _make_pass(parts, queue, key)
            else:
                # Between a late renewal and its outcome nobody writes; the name must not be lost.
                queue.retry(key)
        finally:
            queue.done(key, gone=outcome.gone)


async def _make_pass(parts: Parts, queue: WorkQueue, key: Key) -> Outcome:
    with tracing(_begin_trace(parts.tracer, key)) as span:
        outcome, result = await _try_pass(parts, queue, key, span)
        PASSES.labels(result=result).inc()
        if span is not None:
            span.note({"llmi.pass.result": result})
    return outcome


def _begin_trace(tracer: Tracer | None, key: Key) -> Span | None:
    if tracer is None:
        return None
    return tracer.begin("reconcile LLMInference", {"k8s.namespace.name": key.namespace, "llmi.inference": key.name})


async def _try_pass(parts: Parts, queue: WorkQueue, key: Key, span: Span | None) -> tuple[Outcome, str]:
    began = time.monotonic()
    try:
        outcome = await one_pass(parts, key)
    except Exception as fault:
        # The loop must live: a fault in one resource's pass must not stop the others'.
        logger.exception("A pass failed unexpectedly", extra={"namespace": key.namespace, "inference": key.name})
        queue.retry(key)
        await tell_fault(parts, key, fault)
        if span is not None:
            span.end(error=type(fault).__name__)
        return Outcome(), "fault"
    finally:
        PASS_SECONDS.observe(time.monotonic() - began, exemplar_of(span))
    if outcome.error is not None:
        delay = queue.retry(key, outcome.error.retry_after)
        logger.warning(
            "A pass will be repeated",
            extra={
                "namespace": key.namespace,
                "inference": key.name,
                "error": str(outcome.error),
                "seconds": round(delay, 1),
            },
        )
        return outcome, "retry"
    queue.succeed(key)
    if outcome.again_seconds is not None:
        queue.add_after(key, outcome.again_seconds)
    return outcome, "done"


async def run_workers(
    parts: Parts, queue: WorkQueue, leader: Leader, count: int, on_lead: Callable[[], None] = lambda: None
) -> None:
    """Make passes side by side whenever this replica leads, for ever.

    When the leadership is lost, all workers are stopped in the middle of what they do: another replica may be writing
    from then on. ``on_lead`` is called whenever this replica has become the leader.
    """
    while True:
        await leader.acquire()
        on_lead()
        queue.open()
        for key in parts.store.inferences():
            queue.add(key)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(leader.keep(), name="lease")
                for number in range(count):
                    group.create_task(work(parts, queue, leader), name=f"worker {number}")
        except* LeadershipLostError:
            logger.warning("Lost the leadership: nothing is written until the lease is ours again")
        finally:
            queue.close()
            forget_costs()
