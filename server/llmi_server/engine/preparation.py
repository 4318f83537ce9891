"""What must be known, and may be refused, before a model is loaded: files, memory, device and number format."""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmi_api.failure import FailureCode
from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.encoder.family import is_ours
from llmi_server.engine.kernel_cache import bound_kernel_caches
from llmi_server.engine.memory import refuse_if_too_large
from llmi_server.engine.precision import choose_device, choose_on_cpu, choose_precision
from llmi_server.engine.protocol import LoadWatcher, ModelFacts
from llmi_server.errors import StartupError
from llmi_server.machine import computes_bfloat16, free_memory_bytes, usable_cpus
from llmi_server.model import files, fitness
from llmi_server.model.marker import read_marker
from llmi_server.model.memory import Computing, MemoryNeeds, Use
from llmi_server.model.read_ahead import read_ahead
from llmi_server.model.refusals import invalid
from llmi_server.settings import ServeSettings

_LoadedT = TypeVar("_LoadedT")
_CPU_TOKENS_PER_THREAD = 512


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """What to load and how."""

    folder: Path
    task: Task
    precision: Precision
    device: Device
    max_batch_tokens: int
    threads: int | None = None
    find_use: Callable[[dict[str, Any], int], Use] | None = None
    """What answering takes besides the weights: from the configuration and the bytes of a number."""


def make_load_request(settings: ServeSettings) -> LoadRequest:
    """Return what to load and how, as it was set."""
    return LoadRequest(
        folder=Path(settings.model_dir),
        task=settings.task,
        precision=settings.precision,
        device=settings.device,
        max_batch_tokens=settings.max_batch_tokens,
        threads=settings.threads,
    )


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What a model's files say.

    Attributes:
        config: Its configuration.
        tokenizer_config: Its tokenizer's.
        weights: The safetensors files.
        pooling: How embeddings are pooled.
        recipe: What is done to texts before they are tokenised.
        max_tokens: Longest input that the model can take.
    """

    config: dict[str, Any]
    tokenizer_config: dict[str, Any]
    weights: list[Path]
    pooling: files.Pooling
    recipe: files.TextRecipe
    max_tokens: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """How a model will be loaded.

    Attributes:
        request: What was asked for.
        found: What its files say.
        threads: How many compute on a CPU.
        device: Where it will run, ``cpu`` or ``cuda``.
        precision: Number format that was chosen.
        reading: Reads the files ahead; to be joined.
    """

    request: LoadRequest
    found: Inspected
    threads: int
    device: str
    precision: Precision
    reading: threading.Thread


def prepare(request: LoadRequest, watcher: LoadWatcher, *, own: bool) -> Prepared:
    """Judge the files, and choose how to load them; only encoders of our own gain by bfloat16 on a CPU."""
    watcher.enter_phase("files")
    found = _inspect(request)
    threads = request.threads or usable_cpus()
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    bound_kernel_caches(os.environ, threads)
    needs = _memory_needs(request, found)
    bf16 = own and computes_bfloat16() and is_ours(found.config, request.task)
    if request.device is not Device.CUDA:
        expected, free = choose_on_cpu(request.precision, bf16=bf16), free_memory_bytes()
        refuse_if_too_large(needs, expected, on_gpu=False, free=free, watcher=watcher)
    reading = read_ahead(found.weights, watcher)
    watcher.enter_phase("imports")
    import torch  # noqa: PLC0415 - seconds of import, after everything that can fail fast

    torch.set_num_threads(threads)
    device = choose_device(request.device, cuda=torch.cuda.is_available())
    bf16 = bf16 if device == "cpu" else torch.cuda.is_bf16_supported()
    precision = choose_precision(request.precision, device, bf16=bf16)
    if device == "cuda":
        refuse_if_too_large(needs, precision, on_gpu=True, free=torch.cuda.mem_get_info()[0], watcher=watcher)
    return Prepared(request=request, found=found, threads=threads, device=device, precision=precision, reading=reading)


def _inspect(request: LoadRequest) -> Inspected:
    config = files.read_config(request.folder)
    tokenizer_config = files.read_optional_json(request.folder / "tokenizer_config.json")
    fitness.refuse_code(config, tokenizer_config)
    weights = files.weight_files(request.folder)
    fitness.refuse_mismatch(config, request.task)
    embeds = request.task is Task.EMBEDDINGS
    made_for = files.max_sequence_tokens(request.folder) if embeds else None
    return Inspected(
        config=config,
        tokenizer_config=tokenizer_config,
        weights=weights,
        pooling=files.read_pooling(request.folder) if embeds else files.Pooling(),
        recipe=files.read_text_recipe(request.folder) if embeds else files.TextRecipe(),
        max_tokens=fitness.token_limit(config, tokenizer_config, made_for=made_for),
    )


def _memory_needs(request: LoadRequest, found: Inspected) -> MemoryNeeds:
    if request.task is Task.TEXT_GENERATION:
        computing = Computing.GENERATION
    else:
        ours = request.device is not Device.CUDA and is_ours(found.config, request.task)
        computing = Computing.OWN if ours else Computing.TRANSFORMERS
    tensors = files.read_tensors(found.weights)
    return MemoryNeeds(tensors=tensors, computing=computing, config=found.config, find_use=request.find_use)


def facts_of(prepared: Prepared, *, engine: str, labels: tuple[str, ...], problem_type: str | None) -> ModelFacts:
    """Return what a model that is loaded so will say about itself."""
    request, found, on_cpu = prepared.request, prepared.found, prepared.device == "cpu"
    marker = read_marker(request.folder)
    return ModelFacts(
        engine=engine,
        device=prepared.device,
        precision=prepared.precision,
        weight_bytes=_memory_needs(prepared.request, found).weight_bytes(prepared.precision),
        max_tokens=found.max_tokens,
        preferred_batch_tokens=_CPU_TOKENS_PER_THREAD * prepared.threads if on_cpu else request.max_batch_tokens,
        labels=labels,
        problem_type=problem_type,
        revision=marker.revision if marker else None,
    )


def explained(step: Callable[[], _LoadedT], *, passing: type[Exception] = StartupError) -> _LoadedT:
    """Run a step of a library and turn its errors into ours, except those of ours that pass."""
    try:
        return step()
    except (StartupError, passing):
        raise
    except MemoryError:
        raise StartupError(
            FailureCode.OUT_OF_MEMORY,
            "Memory ran out while the model was loaded.",
            next_step="Raise the memory limit, or choose a smaller model.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        _log().debug("Loading failed", exc_info=True)
        raise invalid(f"The model cannot be loaded: {_first_line(error)}") from None
    except Exception as error:  # noqa: BLE001 - whatever a library raises is told as a failure
        _log().debug("Loading failed", exc_info=True)
        raise StartupError(
            FailureCode.LOAD_FAILED,
            f"Loading the model failed: {type(error).__name__}: {_first_line(error)}",
            next_step="Set LLMI_LOG_LEVEL=debug for the traceback, and check the model's files.",
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
