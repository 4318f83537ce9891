"""Reading a model's folder: configuration, weights' headers, pooling. Nothing is loaded."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.model.refusals import invalid, no_safetensors
from llmi_server.model.weights import LENGTH_BYTES, Tensor, header_length, parse_header


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """How token vectors become one text vector.

    Attributes:
        mode: ``mean``, ``cls``, ``max`` or ``last``.
        normalize: Whether the vector is scaled to length 1.
    """

    mode: str = "mean"
    normalize: bool = True


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of ``config.json``.

    Raises:
        StartupError: The folder or the file is missing or is not a model's.
    """
    path = folder / "config.json"
    if not path.is_file():
        what = "does not exist" if not folder.is_dir() else "has no config.json"
        raise StartupError(
            FailureCode.MODEL_NOT_FOUND,
            f"{folder} {what}.",
            next_step="Check the source of the model, and its path inside the claim or image.",
        )
    content = read_json(path)
    if not isinstance(content, dict):
        raise invalid(f"{path.name} is not a JSON object.")
    return content


def read_json(path: Path) -> object:
    """Return the content of a JSON file.

    Raises:
        StartupError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise invalid(f"{path.name} cannot be read: {str(error)[:200]}.") from None


def read_optional_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, or nothing if there is no such file or it holds no object."""
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that hold the weights.

    Raises:
        StartupError: There are none, or a part is missing.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        raise no_safetensors(sorted(path.name for path in folder.iterdir()))
    parts = sorted(set(read_optional_json(index).get("weight_map", {}).values()))
    files = [folder / str(part) for part in parts]
    missing = [path.name for path in files if path.parent != folder or not path.is_file()]
    if missing or not files:
        raise invalid(f"model.safetensors.index.json names files that are not there: {', '.join(missing) or 'none'}.")
    return files


def read_tensors(files: list[Path]) -> tuple[Tensor, ...]:
    """Return the tensors of safetensors files, by their headers.

    Raises:
        StartupError: A file is none, or cut off.
    """
    return tuple(tensor for path in files for tensor in _read_header(path))


def read_pooling(folder: Path) -> Pooling:
    """Return the pooling that a Sentence Transformers model asks for, or mean and normalised where it says nothing.

    Raises:
        StartupError: It asks for something that this server does not do.
    """
    modules_file = folder / "modules.json"
    if not modules_file.is_file():
        return Pooling()
    modules = read_json(modules_file)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise invalid("modules.json is not a list of objects.")
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    unknown = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    if unknown:
        raise invalid(f"modules.json asks for {unknown[0]}, which this server does not do.")
    mode = "mean"
    for kind, module in zip(kinds, modules, strict=True):
        if kind == "Pooling":
            mode = _pooling_mode(read_optional_json(folder / str(module.get("path", "")) / "config.json"))
    return Pooling(mode=mode, normalize="Normalize" in kinds)


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """What a Sentence Transformers model wants done to a text before it is tokenised.

    Attributes:
        prompts: Texts that are put before it, by name.
        default_prompt: Name of the prompt where the request names none.
        lower_case: Whether it is made lower case.
    """

    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    lower_case: bool = False


def read_text_recipe(folder: Path) -> TextRecipe:
    """Return what the model's own files say about texts; nothing where they are silent.

    Raises:
        StartupError: They contradict themselves, or ask for what this server does not do.
    """
    content = read_optional_json(folder / "config_sentence_transformers.json")
    stated = content.get("prompts")
    prompts = {str(name): str(text) for name, text in stated.items() if text} if isinstance(stated, dict) else {}
    default = content.get("default_prompt_name")
    if default is not None and default not in (stated or {}):
        raise invalid(f"config_sentence_transformers.json has no prompt {str(default)[:80]}, its default.")
    if prompts and read_optional_json(folder / "1_Pooling" / "config.json").get("include_prompt") is False:
        raise invalid("1_Pooling/config.json leaves prompts out of the pooling, which this server does not do.")
    lower = read_optional_json(folder / "sentence_bert_config.json").get("do_lower_case") is True
    return TextRecipe(prompts=prompts, default_prompt=default if default in prompts else None, lower_case=lower)


def max_sequence_tokens(folder: Path) -> int | None:
    """Return the length that a Sentence Transformers model was made for, if it says."""
    value = read_optional_json(folder / "sentence_bert_config.json").get("max_seq_length")
    return value if isinstance(value, int) and value > 0 else None


def _pooling_mode(config: dict[str, Any]) -> str:
    names = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max", "lasttoken": "last"}
    wanted = [
        key.removeprefix("pooling_mode_") for key, value in config.items() if key.startswith("pooling_mode_") and value
    ]
    if isinstance(config.get("pooling_mode"), str):
        wanted = [
            {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}.get(
                config["pooling_mode"], config["pooling_mode"]
            )
        ]
    if not wanted:
        return "mean"
    if len(wanted) > 1 or wanted[0] not in names:
        raise invalid(f"The pooling {' and '.join(wanted)} is not one that this server does (mean, cls, max or last).")
    return names[wanted[0]]


def _read_header(path: Path) -> list[Tensor]:
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = header_length(handle.read(LENGTH_BYTES), file_name=path.name, file_bytes=size)
        return parse_header(handle.read(length), file_name=path.name, file_bytes=size)
