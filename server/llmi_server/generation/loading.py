"""From a model's folder to an engine, in the engine's process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmi_api.failure import FailureCode
from llmi_api.launch import Task
from llmi_server.engine.heap import returned_at_once
from llmi_server.engine.loading import Parts, load_parts
from llmi_server.engine.preparation import LoadRequest
from llmi_server.engine.protocol import LoadWatcher, ModelFacts
from llmi_server.errors import StartupError
from llmi_server.generation.grid_limits import (
    GridLimits,
    bytes_per_token,
    layout_tokens,
    sequence_limit,
    tied_head_bytes,
)
from llmi_server.generation.messages import EngineSettings, Loaded, TokenizerParts
from llmi_server.generation.scheduler import Pace, Scheduler
from llmi_server.machine import free_memory_bytes
from llmi_server.model import files, fitness
from llmi_server.model.memory import Use

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from llmi_server.generation.ways import Way

_MIB = 1 << 20
_KEPT_FREE_BYTES = 256 * _MIB
"""What is left for activations, and for the server's own process."""

_PROMPT_TOKENS_PER_THREAD = 64
_PROMPT_TOKENS_ON_GPU = 2048
_ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What the engine's loop needs, and what the server is told."""

    way: "Way"
    scheduler: Scheduler
    loaded: Loaded


def load_engine(settings: EngineSettings, *, watcher: LoadWatcher) -> Ready:
    """Load a model that continues texts.

    Raises:
        StartupError: The model cannot be served, and why.
    """
    config = files.read_config(Path(settings.folder))
    longest = _longest(settings, config)
    request = _request(settings, longest)
    with returned_at_once():
        parts = load_parts(request, watcher=watcher)
        watcher.enter_phase("ways")
        from llmi_server.generation.ways import choose_way  # noqa: PLC0415 - PyTorch, after all that can fail fast

        way = choose_way(parts.model, lambda: load_parts(request, watcher=Unwatched()).model)
    limits = _grid_limits(settings, parts.facts, config, longest)
    scheduler = Scheduler(limits, _pace(settings, parts, way), stop_tokens=_stop_tokens(parts))
    loaded = Loaded(
        facts=replace(parts.facts, max_tokens=limits.max_row_tokens),
        tokenizer=_tokenizer_parts(parts.tokenizer),
        path=way.name,
        max_sequence_tokens=limits.max_row_tokens,
        max_sequences=limits.max_rows,
        kv_cache_bytes=limits.budget_tokens * _token_bytes(parts.facts, config),
        device_memory_bytes=_device_memory_bytes(parts.facts.device),
    )
    return Ready(way=way, scheduler=scheduler, loaded=loaded)


class Unwatched:
    """Hears of a second loading, which is part of the same phase."""

    def enter_phase(self, name: str) -> None:
        """Ignore it."""

    def predict(self, *, memory_bytes: int, by_precision: Mapping[str, int], weights: Mapping[str, int]) -> None:
        """Ignore it."""

    def expect(self, total_bytes: int) -> None:
        """Ignore it."""

    def read(self, count: int) -> None:
        """Ignore it."""


def _longest(settings: EngineSettings, config: Mapping[str, Any]) -> int:
    tokenizer = files.read_optional_json(Path(settings.folder) / "tokenizer_config.json")
    context = fitness.token_limit(_positions(config), tokenizer, made_for=None)
    for name, wanted in (("input", settings.max_input_tokens), ("output", settings.max_output_tokens)):
        if wanted is not None and wanted >= context:
            raise StartupError(
                FailureCode.INVALID_SETTINGS,
                f"The limit of {wanted} {name} tokens leaves no room within the model's {context}.",
                next_step=f"Set max{name.capitalize()}Tokens below {context}, or leave it out.",
            )
    return sequence_limit(
        context=context,
        batch=settings.max_batch_tokens,
        longest_input=settings.max_input_tokens,
        longest_output=settings.max_output_tokens,
    )


def _positions(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the number of positions under its usual name."""
    text = config.get("text_config")
    fields = dict(text) if isinstance(text, Mapping) else dict(config)
    other = next((fields[name] for name in ("n_positions", "max_seq_len", "seq_length") if name in fields), None)
    return {"max_position_embeddings": other or _UNBOUNDED, **fields}


_UNBOUNDED = 1 << 20
"""Models without positions, such as Mamba, have no limit of their own."""


def _request(settings: EngineSettings, longest: int) -> LoadRequest:
    def find_use(config: dict[str, Any], element: int) -> Use:
        each, head = bytes_per_token(config, element), tied_head_bytes(config, element)
        first = max(longest, settings.max_sequences * layout_tokens(longest, 1)) * each
        most = settings.kv_cache_bytes or first
        return Use(least=longest * each + head, usual=max(longest * each, min(first, most)) + head)

    return LoadRequest(
        folder=Path(settings.folder),
        task=Task.TEXT_GENERATION,
        precision=settings.precision,
        device=settings.device,
        max_batch_tokens=settings.max_batch_tokens,
        threads=settings.threads,
        find_use=find_use,
    )


def _grid_limits(settings: EngineSettings, facts: ModelFacts, config: Mapping[str, Any], longest: int) -> GridLimits:
    """Bound keys and values by what is asked for, or else by what is free now that the weights are loaded."""
    each = _token_bytes(facts, config)
    rows = settings.max_sequences
    free = _free_bytes(facts.device) - _KEPT_FREE_BYTES
    if settings.kv_cache_bytes is not None and settings.kv_cache_bytes > free:
        raise _too_little(settings.kv_cache_bytes, free, "Lower LLMI_KV_CACHE_MIB, or raise the memory limit.")
    budget = min(settings.kv_cache_bytes or free, rows * longest * each) // each
    if budget < longest:
        advice = f"Raise the memory, or set maxInputTokens and maxOutputTokens to {max(1, budget)} together."
        raise _too_little(longest * each, settings.kv_cache_bytes or free, advice)
    return GridLimits(max_rows=rows, max_row_tokens=longest, budget_tokens=budget)


def _token_bytes(facts: ModelFacts, config: Mapping[str, Any]) -> int:
    return bytes_per_token(config, _ELEMENT_BYTES[facts.precision])


def _too_little(needed: int, free: int, advice: str) -> StartupError:
    return StartupError(
        FailureCode.OUT_OF_MEMORY,
        f"Keys and values need {needed // _MIB} MiB beside the model and {max(0, free) // _MIB} MiB are free.",
        next_step=advice,
    )


def _free_bytes(device: str) -> int:
    if device == "cpu":
        return free_memory_bytes()
    import torch  # noqa: PLC0415 - seconds of import, after everything that can fail fast

    return int(torch.cuda.mem_get_info()[0])


def _device_memory_bytes(device: str) -> int | None:
    if device == "cpu":
        return None
    import torch  # noqa: PLC0415 - as above

    return int(torch.cuda.max_memory_reserved())


def _pace(settings: EngineSettings, parts: Parts, way: "Way") -> Pace:
    each = _PROMPT_TOKENS_PER_THREAD * parts.threads if parts.facts.device == "cpu" else _PROMPT_TOKENS_ON_GPU
    beside = min(each, settings.max_batch_tokens)
    return Pace(
        alone_tokens=min(4 * beside, settings.max_batch_tokens),
        beside_tokens=beside,
        whole_prompts=way.whole_prompts,
        mixes=way.mixes,
    )


def _stop_tokens(parts: Parts) -> set[int]:
    """Return the tokens that end an answer, by the model's files and by its tokenizer."""
    return _ids(parts.tokenizer.eos_token_id) | _model_stop_tokens(parts.model)


def _model_stop_tokens(model: "PreTrainedModel") -> set[int]:
    generation = getattr(model, "generation_config", None)
    return _ids(getattr(generation, "eos_token_id", None)) | _ids(getattr(model.config, "eos_token_id", None))


def _ids(value: object) -> set[int]:
    values = value if isinstance(value, list) else [value]
    return {item for item in values if isinstance(item, int)}


def _tokenizer_parts(tokenizer: "PreTrainedTokenizerBase") -> TokenizerParts:
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return TokenizerParts(
        definition=backend.to_str(), chat_template=template or None, special=_spellings(tokenizer.special_tokens_map)
    )


def _spellings(special: Mapping[str, object]) -> dict[str, str]:
    return {
        name: str(token) for name, token in special.items() if isinstance(name, str) and not isinstance(token, list)
    }
