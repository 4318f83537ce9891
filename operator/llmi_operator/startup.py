"""Puts the parts together when kopf starts, and takes them apart when it stops."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import kopf
from aiohttp import ClientConnectionError, web

from llmi_operator.cluster.client import ApiCluster
from llmi_operator.cluster.inspector import Inspector
from llmi_operator.cluster.streams import SILENCE_SECONDS, WATCH_SECONDS, Streams
from llmi_operator.errors import ClusterError
from llmi_operator.health import Health, start_health_server
from llmi_operator.kinds import INFERENCE, WATCHED, Kind
from llmi_operator.leader import Leader, LeaseTerms
from llmi_operator.logs import SERVICE_NAME
from llmi_operator.reconcile import Parts
from llmi_operator.resync import Resync
from llmi_operator.settings import OperatorSettings
from llmi_operator.store import Store
from llmi_operator.tracing.spans import Tracer
from llmi_operator.tracing.start import start_tracing
from llmi_operator.worker import run_workers
from llmi_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)
CRD_RETRY_SECONDS = 2.0
RELEASE_SECONDS = 5.0
KOPF = Path(kopf.__file__).parent


@dataclass
class Context:
    """The running operator: what the handlers feed and the workers use.

    Attributes:
        failed: A task of ours ended by itself.
        refused: What kopf logged in with the last time; when it asks again, the API server has refused that.
    """

    settings: OperatorSettings
    stop: asyncio.Event
    store: Store = field(default_factory=Store)
    queue: WorkQueue = field(default_factory=lambda: WorkQueue(clock=time.monotonic))
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    cluster: ApiCluster | None = None
    inspector: Inspector | None = None
    leader: Leader | None = None
    health: web.AppRunner | None = None
    resync: Resync | None = None
    tracer: Tracer | None = None
    streams: Streams = field(init=False)
    failed: bool = False
    refused: dict[str, str] | None = None

    def __post_init__(self) -> None:
        """Make what refers back here."""
        self.streams = Streams(clock=time.monotonic, on_gap=self.ask_for_resync)

    def ask_for_resync(self) -> None:
        """Have everything listed soon: something may have been missed."""
        if self.resync is not None:
            self.resync.ask()

    def longest_silence(self) -> float:
        """For how long a watch has given no sign of life although the API server answered all the time."""
        since = self.cluster.answering_since if self.cluster is not None else None
        return self.streams.longest_silence(since) if since is not None else 0.0


async def find_watched(settings: OperatorSettings) -> tuple[Kind, ...]:
    """Say which kinds can be watched. One that comes later is seen by the listings only, until the next start."""
    cluster = await ApiCluster.connect(settings.user_agent)
    try:
        return tuple([kind for kind in WATCHED if not kind.optional or await _is_served(cluster, kind)])
    finally:
        await cluster.close()


async def _is_served(cluster: ApiCluster, kind: Kind) -> bool:
    try:
        return await cluster.is_served(kind)
    except ClusterError as error:
        logger.warning("Cannot tell whether a kind is served", extra={"kind": kind.name, "error": str(error)})
        return False


async def start(context: Context) -> None:
    """Make the client, wait for the CRD, list everything, start the tasks."""
    settings = context.settings
    health = Health(resync_seconds=settings.resync_seconds)
    health.oldest_wait = context.queue.oldest_seconds
    health.longest_silence = context.longest_silence
    context.health = await start_health_server(health, settings.health_host, settings.health_port)
    _take_signals(context)
    asyncio.get_running_loop().set_exception_handler(partial(_on_loop_error, context))
    context.tracer = start_tracing(os.environ, SERVICE_NAME)
    cluster = context.cluster = await ApiCluster.connect(settings.user_agent)
    await _wait_for_crd(cluster)
    resync = context.resync = Resync(cluster, context.store, settings.namespaces)
    await resync.run_until_first()
    health.primed_at = lambda: resync.finished_at
    leader = context.leader = Leader(cluster, _make_terms(settings), clock=time.monotonic, now=_now)
    cluster.may_write = lambda: leader.may_write
    inspector = context.inspector = Inspector(
        cluster, context.queue.add, context.queue.add_after, clock=time.monotonic, prices_file=settings.prices_file
    )
    parts = Parts(
        cluster=cluster,
        store=context.store,
        defaults=settings.server_defaults,
        now=_now,
        inspector=inspector,
        tracer=context.tracer,
    )
    on_lead = context.ask_for_resync
    _spawn(context, run_workers(parts, context.queue, leader, settings.workers, on_lead), "workers")
    _spawn(context, resync.run(context.queue, settings.resync_seconds), "resync")
    logger.info("Started", extra={"namespaces": ",".join(settings.namespaces) or "all"})


async def stop(context: Context) -> None:
    """Stop the workers first, then give the lease away: in this order no two replicas write."""
    # Whatever made kopf stop: from here on it must not take for ever.
    context.stop.set()
    for task in context.tasks:
        task.cancel()
    await asyncio.gather(*context.tasks, return_exceptions=True)
    context.queue.close()
    if context.leader is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(context.leader.release(), RELEASE_SECONDS)
    if context.inspector is not None:
        await context.inspector.close()
    if context.cluster is not None:
        await context.cluster.close()
    if context.health is not None:
        await context.health.cleanup()
    if context.tracer is not None:
        await asyncio.to_thread(context.tracer.stop)
    logger.info("Stopped")


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """Use kopf as a source of events and nothing else."""
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.finalizer = "llminference.dev/never-used"
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.inactivity_timeout = SILENCE_SECONDS
    # A worker keeps the last event of its object for so long, and after a listing there is one for each object.
    settings.queueing.idle_timeout = 1
    settings.networking.error_backoffs = Backoffs()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.process.ultimate_exiting_timeout = 20
    for kind in WATCHED:
        if kind.label_selector:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.label_selector
        if kind.field_selector:
            settings.watching.field_selectors[kind.group, kind.version, kind.plural] = kind.field_selector


class Backoffs:
    """Delays between kopf's attempts at one request: for ever, because kopf ends when it gives up a watch."""

    def __iter__(self) -> Iterator[float]:
        """Yield 1, 1, 2, 3, and 5 from then on."""
        return itertools.chain((1.0, 1.0, 2.0, 3.0), itertools.repeat(5.0))


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of an object: kopf's default copies and compares every object on every event, for nothing."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Build an empty essence."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        """Remember nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


def _take_signals(context: Context) -> None:
    """Stop on the first signal and ignore the second, which kopf's own handler fails on with a traceback."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, context.stop.set)


def _on_loop_error(context: Context, loop: asyncio.AbstractEventLoop, error: dict[str, object]) -> None:
    """Keep quiet about what kopf leaves behind when we stop: the requests of its API scan, and half-read watches.

    kopf drops a watch that it is stopped in the middle of an event of; the loop then closes its generator and the one
    inside it in any order, and if the inner one is first, Python says "generator didn't stop after athrow()".
    """
    if context.stop.is_set() and (isinstance(error.get("exception"), ClientConnectionError) or _is_watch(error)):
        logger.debug("Something of kopf's ended with the process", extra={"error": str(error.get("exception"))})
        return
    loop.default_exception_handler(error)


def _is_watch(error: dict[str, object]) -> bool:
    code = getattr(error.get("asyncgen"), "ag_code", None)
    return code is not None and Path(code.co_filename).is_relative_to(KOPF)


async def _wait_for_crd(cluster: ApiCluster) -> None:
    """Wait until the API server knows LLMInference; kopf looks for it only once."""
    told = False
    while True:
        try:
            if await cluster.is_served(INFERENCE):
                return
            reason = "the CRD is not installed"
        except ClusterError as error:
            reason = str(error)
        if not told:
            logger.warning("Waiting for the resource to be served", extra={"reason": reason})
            told = True
        await asyncio.sleep(CRD_RETRY_SECONDS)


def _spawn(context: Context, coroutine: Coroutine[None, None, None], name: str) -> None:
    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(lambda done: _on_task_end(context, done))
    context.tasks.append(task)


def _on_task_end(context: Context, task: asyncio.Task[None]) -> None:
    """A task that ends by itself ends the process: a half-working operator is worse than a restarted one."""
    if task.cancelled():
        return
    context.failed = True
    logger.error("A task ended unexpectedly", exc_info=task.exception(), extra={"task": task.get_name()})
    context.stop.set()


def _make_terms(settings: OperatorSettings) -> LeaseTerms:
    return LeaseTerms(
        namespace=settings.lease_namespace,
        name=settings.lease_name,
        identity=settings.identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        duration=settings.lease_duration_seconds,
        renew_deadline=settings.lease_renew_deadline_seconds,
        retry=settings.lease_retry_seconds,
    )


def _now() -> datetime:
    return datetime.now(UTC)
