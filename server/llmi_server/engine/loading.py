"""From a model's folder to an engine, in steps that each can refuse with a reason."""

import dataclasses
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi_api.launch import Precision, Task
from llmi_server.engine.encoder.family import NotOursError
from llmi_server.engine.heap import returned_at_once
from llmi_server.engine.precision import packs_on_gpu, precision_unsupported
from llmi_server.engine.preparation import Inspected, LoadRequest, Prepared, explained, facts_of, prepare
from llmi_server.engine.protocol import Drift, LoadedModel, LoadWatcher, ModelFacts
from llmi_server.logs import facts as log_facts
from llmi_server.model import files, fitness
from llmi_server.model.refusals import invalid

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from llmi_server.engine.codec import HuggingFaceCodec
    from llmi_server.engine.encoder.heads import Encoder, Head
    from llmi_server.engine.encoder.loading import LoadedEncoder
    from llmi_server.engine.gpu.engine import GpuEngine
    from llmi_server.engine.padding_free_engine import PaddingFreeEngine

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
    prepared = prepare(request, watcher, own=True)
    with returned_at_once():
        own = _load_own(prepared, watcher) if _may_be_own(prepared) else None
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
    return _load_parts(prepare(request, watcher, own=False), watcher)


def _for_transformers(prepared: Prepared) -> Prepared:
    """Return the same in float32 where the choice was ours and meant an encoder of our own."""
    ours = prepared.device == "cpu" and prepared.request.precision is Precision.AUTO
    return dataclasses.replace(prepared, precision=Precision.FLOAT32) if ours else prepared


def _may_be_own(prepared: Prepared) -> bool:
    """Say whether an encoder of our own could compute there."""
    if prepared.device == "cpu":
        return True
    import torch  # noqa: PLC0415 - imported by now

    nvidia_flash = torch.version.hip is None and torch.backends.cuda.is_flash_attention_available()
    return packs_on_gpu(prepared.precision, capability=torch.cuda.get_device_capability(), built=nvidia_flash)


def _load_own(prepared: Prepared, watcher: LoadWatcher) -> LoadedModel | None:
    """Load an encoder of our own; None where the model is one that only Transformers does right."""
    from llmi_server.engine.codec import from_files, from_transformers  # noqa: PLC0415 - keeps torch out until now
    from llmi_server.engine.encoder.loading import engine_name, labels_of  # noqa: PLC0415 - as above

    request, found = prepared.request, prepared.found
    watcher.enter_phase("weights")
    try:
        loaded = explained(lambda: _load_encoder(prepared), passing=NotOursError)
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
    codec = explained(
        lambda: from_files(request.folder, found.tokenizer_config) or from_transformers(_load_tokenizer(request.folder))
    )
    head = loaded.head
    labels = labels_of(found.config, head.labels) if head is not None and head.labels else ()
    problem_type, name = found.config.get("problem_type"), engine_name(prepared.precision, prepared.device)
    facts = facts_of(prepared, engine=name, labels=labels, problem_type=problem_type)
    facts = dataclasses.replace(facts, padding_free=True)
    if prepared.precision is Precision.INT8:
        watcher.enter_phase("drift")
        facts = dataclasses.replace(facts, drift=explained(lambda: _drift(loaded, codec, facts, prepared)))
    make = _padding_free if prepared.device == "cpu" else _on_gpu
    engine = make(loaded.encoder, head, facts, prepared)
    return LoadedModel(engine=engine, codec=codec, normalize=found.pooling.normalize, recipe=found.recipe)


def _load_encoder(prepared: Prepared) -> "LoadedEncoder":
    from llmi_server.engine.encoder.loading import load_encoder  # noqa: PLC0415 - keeps torch out until now

    config, files_of_weights, task = prepared.found.config, prepared.found.weights, prepared.request.task
    loaded = load_encoder(config, files_of_weights, task=task, precision=prepared.precision, device=prepared.device)
    if prepared.device == "cpu":
        return loaded
    from llmi_server.engine.gpu.encoder import GpuEncoder  # noqa: PLC0415 - as above
    from llmi_server.engine.gpu.recording import Studio  # noqa: PLC0415 - as above

    record = Studio(prepared.device).record
    return dataclasses.replace(loaded, encoder=GpuEncoder(loaded.encoder, device=prepared.device, record=record))


def _drift(loaded: "LoadedEncoder", codec: "HuggingFaceCodec", facts: ModelFacts, prepared: Prepared) -> Drift:
    from llmi_server.engine.drift import measure_drift, trial_texts  # noqa: PLC0415 - only here

    task = prepared.request.task
    exact = _padding_free(*loaded.reference(), facts, prepared)
    reduced = _padding_free(loaded.encoder, loaded.head, facts, prepared)
    texts = trial_texts(codec, task, limit=facts.max_tokens)
    drift = measure_drift(exact.compute, reduced.compute, texts, task)
    _log().info("Drift against float32", extra=log_facts(**dataclasses.asdict(drift)))
    return drift


def _padding_free(
    encoder: "Encoder", head: "Head | None", facts: ModelFacts, prepared: Prepared
) -> "PaddingFreeEngine":
    from llmi_server.engine.padding_free_engine import PaddingFreeEngine  # noqa: PLC0415 - keeps torch out until now

    pooling = prepared.found.pooling.mode
    return PaddingFreeEngine(encoder=encoder, head=head, task=prepared.request.task, facts=facts, pooling=pooling)


def _on_gpu(encoder: "Encoder", head: "Head | None", facts: ModelFacts, prepared: Prepared) -> "GpuEngine":
    from llmi_server.engine.gpu.engine import GpuEngine  # noqa: PLC0415 - keeps torch out until now

    pooling = prepared.found.pooling.mode
    return GpuEngine(encoder=encoder, head=head, task=prepared.request.task, facts=facts, pooling=pooling)


def _load_parts(prepared: Prepared, watcher: LoadWatcher) -> Parts:
    request, found = prepared.request, prepared.found
    watcher.enter_phase("imports")
    import transformers  # noqa: PLC0415 - seconds of import

    watcher.enter_phase("tokenizer")
    tokenizer = explained(lambda: _load_tokenizer(request.folder))
    watcher.enter_phase("weights")
    model = explained(lambda: _load_weights(request, found, prepared.precision, prepared.device))
    prepared.reading.join()
    facts = facts_of(
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


def _load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds of import

    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise invalid("The tokenizer has no fast form (tokenizer.json), which this server needs.")
    return tokenizer


def _load_weights(request: LoadRequest, found: Inspected, precision: Precision, device: str) -> "PreTrainedModel":
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
