"""Starting generation: the engine's process, a first answer, then the service."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from llmi_api.failure import FailureCode
from llmi_server.engine.protocol import LoadWatcher
from llmi_server.errors import RequestError, StartupError
from llmi_server.generation.engine_client import EngineClient
from llmi_server.generation.messages import EngineSettings, Loaded, StepDone
from llmi_server.generation.prompts import Message, PromptCodec
from llmi_server.generation.request import Sampling
from llmi_server.generation.service import Ask, GenerationLimits, GenerationService
from llmi_server.generation.waiting_room import WaitingRoom
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry

_WORKERS = 2
"""Threads that tokenise prompts; the tokenizer leaves Python's lock while it works."""

_MIB = 1 << 20


def start_generation(
    settings: ServeSettings,
    *,
    telemetry: Telemetry,
    watcher: LoadWatcher,
    on_death: Callable[[StartupError], None],
) -> GenerationService:
    """Start the engine's process and return the service, which has given a first answer.

    Raises:
        StartupError: The model cannot be served, and why.
    """
    engine = EngineClient(on_step=lambda step: note_step(telemetry, step), on_death=on_death)
    try:
        loaded = engine.start(_engine_settings(settings), watcher=watcher)
        service = _build_service(settings, loaded, engine, telemetry)
        watcher.enter_phase("warm-up")
        asyncio.run(_first_answer(service))
    except BaseException:
        engine.stop()
        raise
    return service


def note_step(telemetry: Telemetry, step: StepDone) -> None:
    """Take over the engine's own figures after a step."""
    telemetry.engine_computed(step.seconds)
    telemetry.step_done(
        texts=step.texts,
        prompt_tokens=step.prompt_tokens,
        reused_tokens=step.reused_tokens,
        generated_tokens=len(step.chosen),
        used_share=step.used_share,
    )


def _engine_settings(settings: ServeSettings) -> EngineSettings:
    return EngineSettings(
        folder=str(settings.model_dir),
        precision=settings.precision,
        device=settings.device,
        threads=settings.threads,
        max_batch_tokens=settings.max_batch_tokens,
        max_input_tokens=settings.max_input_tokens,
        max_output_tokens=settings.max_output_tokens,
        max_sequences=settings.max_sequences,
        kv_cache_bytes=settings.kv_cache_mib * _MIB if settings.kv_cache_mib else None,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )


def _build_service(
    settings: ServeSettings, loaded: Loaded, engine: EngineClient, telemetry: Telemetry
) -> GenerationService:
    longest = loaded.max_sequence_tokens
    return GenerationService(
        engine=engine,
        codec=PromptCodec(loaded.tokenizer),
        loaded=loaded,
        limits=GenerationLimits(
            input_tokens=settings.max_input_tokens or longest - 1,
            output_tokens=settings.max_output_tokens or longest - 1,
            sequence_tokens=longest,
            timeout_seconds=settings.request_timeout_seconds,
        ),
        room=WaitingRoom(max_requests=settings.max_queued_requests, max_tokens=settings.max_queued_tokens),
        workers=ThreadPoolExecutor(_WORKERS, thread_name_prefix="text"),
        telemetry=telemetry,
        model_name=settings.model_name,
    )


async def _first_answer(service: GenerationService) -> None:
    prompt = (Message(role="user", content="a"),) if service.converses else "a"
    try:
        async with service.generate(Ask(prompt=prompt, max_tokens=2, sampling=Sampling(temperature=0))) as generation:
            async for _ in generation:
                pass
    except RequestError as error:
        raise StartupError(
            FailureCode.LOAD_FAILED,
            f"The model was loaded and gave no answer: {error.message}",
            next_step="See the log for the traceback, and check the model's files.",
        ) from None
