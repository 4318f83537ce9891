"""The only place where parts are constructed and joined."""

import dataclasses
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from llmi_api.failure import FailureCode
from llmi_api.launch import Task
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import make_load_request
from llmi_server.engine.protocol import LoadedModel, ModelFacts
from llmi_server.errors import RequestError, StartupError
from llmi_server.generation.service import GenerationService
from llmi_server.generation.start import start_generation
from llmi_server.inference.lifecycle import Lifecycle, Service
from llmi_server.inference.preparing import build_task
from llmi_server.inference.runner import BatchRunner
from llmi_server.inference.service import InferenceService, RequestLimits
from llmi_server.inference.verify import verify
from llmi_server.inference.warm_up import warm_up
from llmi_server.scheduling.limits import Limits
from llmi_server.scheduling.scheduler import Scheduler
from llmi_server.schema.hugging_face import default_parameters
from llmi_server.settings import ServeSettings
from llmi_server.tasks.task import Task as TaskProtocol
from llmi_server.telemetry import Telemetry
from llmi_server.tracing.spans import Tracer
from llmi_server.tracing.timeline import describe_inference
from llmi_server.web.app import create_app
from llmi_server.web.server import DrainingServer

_WORKERS = 2
"""Threads that tokenise and render; the tokenizer leaves Python's lock while it works."""


def build_server(
    settings: ServeSettings, *, lifecycle: Lifecycle, telemetry: Telemetry, tracer: Tracer | None = None
) -> DrainingServer:
    """Return the HTTP server, which answers probes at once and requests when the lifecycle is ready."""
    app = create_app(lifecycle=lifecycle, telemetry=telemetry, settings=settings, tracer=tracer)
    return DrainingServer(app, lifecycle, settings)


def open_for_requests(
    settings: ServeSettings,
    *,
    lifecycle: Lifecycle,
    telemetry: Telemetry,
    on_death: Callable[[StartupError], None],
) -> None:
    """Load the model, produce a first answer and let requests in. Takes seconds; runs beside the event loop.

    Args:
        settings: What to serve and how.
        lifecycle: Told how far it is, and of the service.
        telemetry: Where the service counts.
        on_death: Called, on any thread, when the engine of a ready service has ended by itself.

    Raises:
        StartupError: The model cannot be served, and why.
    """
    service: Service
    if settings.task is Task.TEXT_GENERATION:
        service = open_generation(settings, lifecycle=lifecycle, telemetry=telemetry, on_death=on_death)
    else:
        loaded = load_model(make_load_request(settings), watcher=lifecycle)
        service = build_service(loaded, settings, lifecycle=lifecycle, telemetry=telemetry)
    describe_build(telemetry, settings, service.facts)
    telemetry.load_seconds.set(lifecycle.age_seconds)
    telemetry.forget_warm_up()
    # What is there now stays. A full collection under load would look through all of it, and hold up everything else.
    gc.collect()
    gc.freeze()
    lifecycle.become_ready(service)


def open_generation(
    settings: ServeSettings,
    *,
    lifecycle: Lifecycle,
    telemetry: Telemetry,
    on_death: Callable[[StartupError], None],
) -> GenerationService:
    """Return a service that generates text, verified.

    Raises:
        StartupError: The model cannot be served, produced no answer, or not the ones that are expected.
    """
    service = start_generation(settings, telemetry=telemetry, watcher=lifecycle, on_death=on_death)
    if settings.verify:
        lifecycle.enter_phase("verify")
        verify(lambda question: service.brief(question.input, question.expect), settings.verify, by_beginning=True)
    return service


def build_service(
    loaded: LoadedModel, settings: ServeSettings, *, lifecycle: Lifecycle, telemetry: Telemetry
) -> InferenceService:
    """Return a started and warmed-up service around a loaded model.

    Raises:
        StartupError: The limits contradict the model, it produced no answer, or not the ones that are expected.
    """
    facts = loaded.engine.facts
    if facts.drift is not None:
        telemetry.drift_measured(dataclasses.asdict(facts.drift))
    task = build_task(loaded, settings)
    limits = Limits(
        max_queued_requests=settings.max_queued_requests,
        max_queued_tokens=settings.max_queued_tokens,
        max_batch_tokens=settings.max_batch_tokens,
        preferred_batch_tokens=facts.preferred_batch_tokens,
        padding_free=facts.padding_free,
    )
    runner = BatchRunner(
        engine=loaded.engine,
        scheduler=Scheduler(limits),
        telemetry=telemetry,
        describing=describe_inference(settings.task.replace("-", "_"), settings.model_name),
    )
    runner.start()
    lifecycle.enter_phase("warm-up")
    _warm_up(task, runner, loaded, settings.task)
    mask = loaded.codec.mask_token if settings.task is Task.FILL_MASK else None
    service = InferenceService(
        task=task,
        runner=runner,
        workers=ThreadPoolExecutor(_WORKERS, thread_name_prefix="text"),
        limits=RequestLimits(
            max_inputs=settings.max_inputs_per_request,
            max_tokens=settings.max_request_tokens,
            timeout_seconds=settings.request_timeout_seconds,
        ),
        facts=dataclasses.replace(facts, mask_token=mask),
        telemetry=telemetry,
    )
    if settings.verify:
        lifecycle.enter_phase("verify")
        parameters = default_parameters(settings.task)
        verify(lambda question: service.brief(question.input, parameters), settings.verify)
    return service


def describe_build(telemetry: Telemetry, settings: ServeSettings, facts: ModelFacts) -> None:
    """Fill the build metric, once."""
    telemetry.build.info(
        {
            "version": version("llminference"),
            "engine": facts.engine,
            "model": settings.model_name,
            "revision": facts.revision or "",
            "device": facts.device,
            "precision": facts.precision,
        }
    )


def _warm_up(task: TaskProtocol[Any], runner: BatchRunner, loaded: LoadedModel, kind: Task) -> None:
    parameters = default_parameters(kind).model_copy(update={"truncate": True})
    mask_token = loaded.codec.mask_token if kind is Task.FILL_MASK else None
    try:
        warm_up(task=task, parameters=parameters, compute=runner.compute, mask_token=mask_token)
    except RequestError as error:
        raise StartupError(
            FailureCode.LOAD_FAILED,
            f"The model was loaded and gave no answer: {error.message}",
            next_step="See the log for the traceback, and check the model's files.",
        ) from None
