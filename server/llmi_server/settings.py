"""What the two commands are told: ``LLMI_*`` variables and the equivalent ``--flags``, read once.

A flag is its variable without the prefix: ``LLMI_MODEL_NAME=bert`` is ``--model-name bert``. Flags win.
"""

import difflib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from llmi_api.failure import FailureCode
from llmi_api.launch import ENVIRONMENT_PREFIX, TRITON_METRICS_PORT, FetchLaunch, LongInputs, ServeLaunch, Task
from llmi_server.errors import StartupError

FOREIGN_VARIABLES = frozenset({"LLMI_CACHE"})
"""Variables with our prefix that belong to the project's development tools."""

EVERYWHERE = "*"
"""The host that stands for every address of the machine."""

NOT_VERIFIABLE = {
    Task.EMBEDDINGS: "a vector has no answer in words to compare with",
    Task.ZERO_SHOT_CLASSIFICATION: "a question would need labels too",
    Task.RERANK: "a question would need documents too",
}
"""Tasks that take no verify questions, and why."""

_SettingsT = TypeVar("_SettingsT", bound=BaseModel)


class LogFormat(StrEnum):
    """How log lines look; ``auto`` is text on a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class ServeSettings(ServeLaunch):
    """Settings of ``llmi-server serve``: the operator's, and those that only a human sets."""

    host: str = Field(
        default=EVERYWHERE, description="Address to listen on; * is every one, IPv4 and, where there is, IPv6."
    )
    log_format: LogFormat = Field(default=LogFormat.AUTO, description="auto, json or text.")
    threads: int | None = Field(default=None, ge=1, le=1024, description="CPU threads; the CPU limit if absent.")
    max_body_bytes: int = Field(default=2_000_000, ge=1024, description="Largest request body in bytes.")
    max_inputs_per_request: int = Field(default=256, ge=1, description="Most texts in one request.")
    max_request_tokens: int = Field(
        default=131_072, ge=1, description="Most tokens in one request, all texts together."
    )
    max_queued_tokens: int = Field(
        default=262_144, ge=1, description="Most tokens that wait; beyond them requests are refused."
    )
    max_held_bytes: int = Field(
        default=67_108_864,
        ge=1024,
        description="Most bytes of request bodies held at once; beyond them requests are refused.",
    )
    max_sequences: int = Field(default=32, ge=1, le=1024, description="Most texts that are continued at once.")
    kv_cache_mib: int | None = Field(
        default=None, ge=1, description="Most memory in MiB for keys and values; what is free if absent."
    )
    body_timeout_seconds: int = Field(default=30, ge=1, description="Longest time for a request body to arrive.")

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.max_input_tokens is not None and self.max_input_tokens > self.max_batch_tokens:
            msg = (
                f"LLMI_MAX_INPUT_TOKENS ({self.max_input_tokens}) is above LLMI_MAX_BATCH_TOKENS"
                f" ({self.max_batch_tokens}), so the longest inputs would fit into no batch"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _long_inputs_suit_the_task(self) -> Self:
        if self.long_inputs is LongInputs.WINDOW and self.task is not Task.EMBEDDINGS:
            msg = f"LLMI_LONG_INPUTS is window, which is for embeddings; {self.task} can refuse or truncate"
            raise ValueError(msg)
        if self.long_inputs is LongInputs.TRUNCATE and self.task is Task.TEXT_GENERATION:
            msg = "LLMI_LONG_INPUTS is truncate; text-generation refuses prompts that are too long"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _verify_suits_the_task(self) -> Self:
        if self.verify and self.task in NOT_VERIFIABLE:
            msg = f"LLMI_VERIFY has no use for {self.task}: {NOT_VERIFIABLE[self.task]}"
            raise ValueError(msg)
        return self


class TritonSettings(ServeSettings):
    """Settings of ``llmi-server triton``: those of ``serve``, and where Triton is."""

    metrics_port: int = Field(default=TRITON_METRICS_PORT, ge=1, le=65535, description="TCP port of Triton's metrics.")
    program_dir: PurePosixPath = Field(
        default=PurePosixPath("/opt/tritonserver"), description="Folder with Triton's bin and backends."
    )


class FetchSettings(FetchLaunch):
    """Settings of ``llmi-server fetch``: the operator's, and those that only a human sets."""

    log_format: LogFormat = Field(default=LogFormat.AUTO, description="auto, json or text.")
    connections: int = Field(default=4, ge=1, le=16, description="Files downloaded at the same time.")
    attempts: int = Field(default=6, ge=1, le=100, description="Tries for each request to the hub without progress.")
    retry_seconds: float = Field(default=1, ge=0, description="Wait before the first retry; doubles each time.")
    timeout_seconds: float = Field(default=30, gt=0, description="Longest silence of the hub.")
    check_memory: bool = Field(
        default=True,
        description="Refuse weights that cannot fit into the memory here; false to fetch for elsewhere.",
    )


def read_settings(kind: type[_SettingsT], arguments: Sequence[str], environment: Mapping[str, str]) -> _SettingsT:
    """Read settings of ``kind`` from flags and environment.

    Args:
        kind: The settings model.
        arguments: What follows the command's name on the command line.
        environment: Environment variables; those without our prefix are ignored.

    Raises:
        StartupError: A setting is unknown, missing or has a wrong value.
    """
    values = _environment_values(kind, environment) | _flag_values(kind, arguments)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _invalid(_explain(error)) from None


def describe_settings(kind: type[BaseModel]) -> str:
    """Return one line for each setting, as ``--help`` prints them."""
    lines = []
    for name, field in kind.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default}"
        lines.append(f"  {_flag(name):<28} {_variable(name):<32} {field.description} ({default})")
    return "\n".join(lines)


def _environment_values(kind: type[BaseModel], environment: Mapping[str, str]) -> dict[str, str]:
    known = {_variable(name): name for name in kind.model_fields}
    values = {}
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in FOREIGN_VARIABLES:
            continue
        if variable not in known:
            raise _unknown(variable, known)
        if value:
            values[known[variable]] = value
    return values


def _flag_values(kind: type[BaseModel], arguments: Sequence[str]) -> dict[str, str]:
    known = {_flag(name): name for name in kind.model_fields}
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag not in known:
            raise _unknown(flag, known)
        if not equals:
            if not rest:
                raise _invalid(f"{flag} needs a value.")
            value = rest.pop(0)
        values[known[flag]] = value
    return values


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _unknown(name: str, known: Mapping[str, Any]) -> StartupError:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return _invalid(f"{name} is not a setting; did you mean {nearest[0]}?")


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False):
        name = _variable(str(problem["loc"][0])) if problem["loc"] else "The settings"
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            problems.append(f"{name} is required and not set")
        elif not problem["loc"]:
            problems.append(text)
        else:
            problems.append(f"{name} is {str(problem['input'])[:60]!r}: {text[:1].lower()}{text[1:]}")
    return "; ".join(problems) + "."


def _invalid(message: str) -> StartupError:
    return StartupError(
        FailureCode.INVALID_SETTINGS, message, next_step="Correct the setting; llmi-server --help lists all of them."
    )
