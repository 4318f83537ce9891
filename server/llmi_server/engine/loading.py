"""From a model's folder to an engine, in steps that each can refuse with a reason."""

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llmi_api.failure import FailureCode
from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.encoder.family import NotOursError, is_ours
from llmi_server.engine.heap import returned_at_once
from llmi_server.engine.kernel_cache import bound_kernel_caches
from llmi_server.engine.memory import refuse_if_too_large
from llmi_server.engine.precision import choose_device, choose_on_cpu, choose_precision, precision_unsupported
from llmi_server.engine.protocol import Drift, LoadedModel, LoadWatcher, ModelFacts
from llmi_server.errors import StartupError
from llmi_server.logs import facts as log_facts
from llmi_server.machine import computes_bfloat16, free_memory_bytes, usable_cpus
from llmi_server.model import files, fitness
from llmi_server.model.marker import read_marker
from llmi_server.model.memory import Computing, MemoryNeeds, Use
from llmi_server.model.read_ahead import read_ahead
from llmi_server.model.refusals import invalid
from llmi_server.settings import ServeSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from llmi_server.engine.codec import HuggingFaceCodec
    from llmi_server.engine.encoder.heads import Encoder, Head
    from llmi_server.engine.encoder.loading import LoadedEncoder
    from llmi_server.engine.padding_free_engine import PaddingFreeEngine

_LoadedT = TypeVar("_LoadedT")
_CPU_TOKENS_PER_THREAD = 512
_AUTO_CLASSES = {
    Task.FILL_MASK: "AutoModelForMaskedLM",
    Task.TEXT_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.ZERO_SHOT_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.EMBEDDINGS: "AutoModel",
    Task.RERANK: "AutoModelForSequenceClassification",
    Task.TEXT_GENERATION: "AutoModelForCausalLM",
}


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
class _Inspected:
    config: dict[str, Any]
    tokenizer_config: dict[str, Any]
    weights: list[Path]
    pooling: files.Pooling
    recipe: files.TextRecipe
    max_tokens: int


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    request: LoadRequest
    found: _Inspected
    threads: int
    device: str
    precision: Precision
    reading: threading.Thread


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A model and its tokenizer as Transformers has them, and how they were loaded."""

    tokenizer: "PreTrainedTokenizerBase"
    model: "PreTrainedModel"
    facts: ModelFacts
    pooling: files.Pooling
    recipe: files.TextRecipe
    threads: int


def load_model(request: LoadRequest, *, watcher: LoadWatcher) -> LoadedModel:
    """Load an encoder and its tokenizer.

    Args:
        request: What to load and how.
        watcher: Told how far it is.

    Raises:
        StartupError: The model cannot be served, and why.
    """
    prepared = _prepare(request, watcher, own=True)
    with returned_at_once():
        own = _load_own(prepared, watcher) if prepared.device == "cpu" else None
        return own or _assemble(_load_parts(_for_transformers(prepared), watcher), request.task)


def load_parts(request: LoadRequest, *, watcher: LoadWatcher) -> Parts:
    """Load what every task needs: model and tokenizer of Transformers, checked step by step.

    Args:
        request: What to load and how.
        watcher: Told how far it is.

    Raises:
        StartupError: The model cannot be served, and why.
    """
    if request.precision is Precision.INT8:
        raise precision_unsupported("int8 is for encoders, and this task generates text.", "float32 or bfloat16")
    return _load_parts(_prepare(request, watcher, own=False), watcher)


def _prepare(request: LoadRequest, watcher: LoadWatcher, *, own: bool) -> _Prepared:
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
    return _Prepared(request=request, found=found, threads=threads, device=device, precision=precision, reading=reading)


def _for_transformers(prepared: _Prepared) -> _Prepared:
    """Return the same in float32 where the choice was ours and meant an encoder of our own."""
    ours = prepared.device == "cpu" and prepared.request.precision is Precision.AUTO
    return dataclasses.replace(prepared, precision=Precision.FLOAT32) if ours else prepared


def _load_own(prepared: _Prepared, watcher: LoadWatcher) -> LoadedModel | None:
    """Load an encoder of our own; None where the model is one that only Transformers does right."""
    from llmi_server.engine.codec import from_files, from_transformers  # noqa: PLC0415 - keeps torch out until now
    from llmi_server.engine.encoder.loading import engine_name, labels_of, load_encoder  # noqa: PLC0415 - as above

    request, found = prepared.request, prepared.found
    watcher.enter_phase("weights")
    try:
        loaded: LoadedEncoder = _explained(
            lambda: load_encoder(found.config, found.weights, task=request.task, precision=prepared.precision),
            passing=NotOursError,
        )
    except NotOursError as error:
        if prepared.precision is Precision.INT8:
            raise precision_unsupported(
                f"int8 is computed for models of the shapes of BERT, RoBERTa, XLM-R, DistilBERT, MPNet and ModernBERT,"
                f" and this one differs ({error}).",
                "float32",
            ) from None
        _log().info("Left to Transformers", extra=log_facts(because=str(error)))
        return None
    prepared.reading.join()
    watcher.enter_phase("tokenizer")
    codec = _explained(
        lambda: from_files(request.folder, found.tokenizer_config) or from_transformers(_load_tokenizer(request.folder))
    )
    head = loaded.head
    labels = labels_of(found.config, head.labels) if head is not None and head.labels else ()
    problem_type, name = found.config.get("problem_type"), engine_name(prepared.precision)
    facts = _facts(prepared, engine=name, labels=labels, problem_type=problem_type)
    facts = dataclasses.replace(facts, padding_free=True)
    if prepared.precision is Precision.INT8:
        watcher.enter_phase("drift")
        facts = dataclasses.replace(facts, drift=_explained(lambda: _drift(loaded, codec, facts, prepared)))
    engine = _padding_free(loaded.encoder, head, facts, prepared)
    return LoadedModel(engine=engine, codec=codec, normalize=found.pooling.normalize, recipe=found.recipe)


def _drift(loaded: "LoadedEncoder", codec: "HuggingFaceCodec", facts: ModelFacts, prepared: _Prepared) -> Drift:
    from llmi_server.engine.drift import measure_drift, trial_texts  # noqa: PLC0415 - only here

    task = prepared.request.task
    exact = _padding_free(*loaded.reference(), facts, prepared)
    reduced = _padding_free(loaded.encoder, loaded.head, facts, prepared)
    texts = trial_texts(codec, task, limit=facts.max_tokens)
    drift = measure_drift(exact.compute, reduced.compute, texts, task)
    _log().info("Drift against float32", extra=log_facts(**dataclasses.asdict(drift)))
    return drift


def _padding_free(
    encoder: "Encoder", head: "Head | None", facts: ModelFacts, prepared: _Prepared
) -> "PaddingFreeEngine":
    from llmi_server.engine.padding_free_engine import PaddingFreeEngine  # noqa: PLC0415 - keeps torch out until now

    pooling = prepared.found.pooling.mode
    return PaddingFreeEngine(encoder=encoder, head=head, task=prepared.request.task, facts=facts, pooling=pooling)


def _load_parts(prepared: _Prepared, watcher: LoadWatcher) -> Parts:
    request, found = prepared.request, prepared.found
    watcher.enter_phase("imports")
    import transformers  # noqa: PLC0415 - seconds of import

    watcher.enter_phase("tokenizer")
    tokenizer = _explained(lambda: _load_tokenizer(request.folder))
    watcher.enter_phase("weights")
    model = _explained(lambda: _load_weights(request, found, prepared.precision, prepared.device))
    prepared.reading.join()
    facts = _facts(
        prepared,
        engine=f"transformers {transformers.__version__}",
        labels=_labels(model, request.task),
        problem_type=getattr(model.config, "problem_type", None),
    )
    return Parts(
        tokenizer=tokenizer,
        model=model,
        facts=facts,
        pooling=found.pooling,
        recipe=found.recipe,
        threads=prepared.threads,
    )


def _inspect(request: LoadRequest) -> _Inspected:
    config = files.read_config(request.folder)
    tokenizer_config = files.read_optional_json(request.folder / "tokenizer_config.json")
    fitness.refuse_code(config, tokenizer_config)
    weights = files.weight_files(request.folder)
    fitness.refuse_mismatch(config, request.task)
    embeds = request.task is Task.EMBEDDINGS
    made_for = files.max_sequence_tokens(request.folder) if embeds else None
    return _Inspected(
        config=config,
        tokenizer_config=tokenizer_config,
        weights=weights,
        pooling=files.read_pooling(request.folder) if embeds else files.Pooling(),
        recipe=files.read_text_recipe(request.folder) if embeds else files.TextRecipe(),
        max_tokens=fitness.token_limit(config, tokenizer_config, made_for=made_for),
    )


def _memory_needs(request: LoadRequest, found: _Inspected) -> MemoryNeeds:
    if request.task is Task.TEXT_GENERATION:
        computing = Computing.GENERATION
    else:
        ours = request.device is not Device.CUDA and is_ours(found.config, request.task)
        computing = Computing.OWN if ours else Computing.TRANSFORMERS
    tensors = files.read_tensors(found.weights)
    return MemoryNeeds(tensors=tensors, computing=computing, config=found.config, find_use=request.find_use)


def _load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds of import

    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise invalid("The tokenizer has no fast form (tokenizer.json), which this server needs.")
    return tokenizer


def _load_weights(request: LoadRequest, found: _Inspected, precision: Precision, device: str) -> "PreTrainedModel":
    import torch  # noqa: PLC0415 - as above
    import transformers  # noqa: PLC0415 - as above

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model, report = getattr(transformers, _AUTO_CLASSES[request.task]).from_pretrained(
        str(request.folder),
        dtype=getattr(torch, precision),
        device_map={"": device} if device != "cpu" else None,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    _refuse_random_weights(report["missing_keys"], request.task, found.config)
    loaded: PreTrainedModel = model.eval()
    return loaded


def _refuse_random_weights(missing: Iterable[str], task: Task, config: dict[str, Any]) -> None:
    """Weights that the files lack were filled with random numbers; only an unused pooler may be among them."""
    unused = "pooler" if task is Task.EMBEDDINGS else "\0"
    lacking = sorted((name for name in missing if unused not in name), key=lambda name: ("pooler" in name, name))
    if not lacking:
        return
    architecture = str((config.get("architectures") or ["an unnamed architecture"])[0])[:80]
    tasks = tuple(other for other in fitness.tasks_of(architecture) if other is not task)
    raise fitness.task_mismatch(
        f"The model's files ({architecture}) lack {len(lacking)} weights that {task} needs, such as {lacking[0][:80]};"
        " its answers would be random.",
        tasks,
    )


def _explained(step: Callable[[], _LoadedT], *, passing: type[Exception] = StartupError) -> _LoadedT:
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


def _facts(prepared: _Prepared, *, engine: str, labels: tuple[str, ...], problem_type: str | None) -> ModelFacts:
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


def _assemble(parts: Parts, task: Task) -> LoadedModel:
    from llmi_server.engine.codec import from_transformers  # noqa: PLC0415 - keeps torch out until now
    from llmi_server.engine.transformers_engine import TransformersEngine  # noqa: PLC0415 - as above

    codec = from_transformers(parts.tokenizer)
    engine = TransformersEngine(
        model=parts.model,
        task=task,
        facts=parts.facts,
        pooling=parts.pooling.mode,
        padding_id=codec.pad_token_id or 0,
    )
    return LoadedModel(engine=engine, codec=codec, normalize=parts.pooling.normalize, recipe=parts.recipe)


def _labels(model: "PreTrainedModel", task: Task) -> tuple[str, ...]:
    if task in (Task.FILL_MASK, Task.EMBEDDINGS):
        return ()
    names = {int(number): str(name) for number, name in (model.config.id2label or {}).items()}
    return tuple(names[number] for number in sorted(names))


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
