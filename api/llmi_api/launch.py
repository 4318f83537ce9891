"""What the operator tells a container, as environment variables with one prefix.

The operator fills one of these models and renders it with `to_environment`; the server's settings read
the same names back. A contract test holds both sides to it.
"""

import json
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ENVIRONMENT_PREFIX = "LLMI_"
HTTP_PORT = 8080
TRITON_METRICS_PORT = 8002
MODEL_DIR = PurePosixPath("/model")
CACHE_DIR = PurePosixPath("/cache")
API_KEY_DIR = PurePosixPath("/var/run/secrets/llmi/api-key")
HUB_TOKEN_DIR = PurePosixPath("/var/run/secrets/llmi/hub-token")
TERMINATION_MESSAGE_PATH = PurePosixPath("/dev/termination-log")
SERVER_UID = 10001


class Task(StrEnum):
    """What a model is asked to do; the values are the Hugging Face task names where there is one."""

    FILL_MASK = "fill-mask"
    TEXT_CLASSIFICATION = "text-classification"
    TOKEN_CLASSIFICATION = "token-classification"  # noqa: S105 - a task, not a secret
    ZERO_SHOT_CLASSIFICATION = "zero-shot-classification"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    TEXT_GENERATION = "text-generation"


class EngineName(StrEnum):
    """What runs the model."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"
    TRITON = "triton"
    CUSTOM = "custom"


class Precision(StrEnum):
    """Number format of the weights and the arithmetic. ``int8`` is for encoders on a CPU."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"


class LongInputs(StrEnum):
    """What becomes of a text that is longer than the model takes. ``window`` is for embeddings."""

    REFUSE = "refuse"
    TRUNCATE = "truncate"
    WINDOW = "window"


class Device(StrEnum):
    """Where the model runs. ``cuda`` means: fail at start-up when there is none."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class LogLevel(StrEnum):
    """Least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class VerifyQuestion(BaseModel):
    """A text and the answer, in brief, that the model must give to it before the server is ready."""

    model_config = ConfigDict(frozen=True)

    input: str = Field(min_length=1, description="The text.")
    expect: str = Field(min_length=1, description="The answer in brief; each task says what that is.")


def short_name(model_name: str) -> str:
    """Return a model's name without its owner: a name in KServe's protocol, where Triton takes no slash."""
    return model_name.rpartition("/")[2]


def _read_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


class _Launch(BaseModel):
    model_config = ConfigDict(frozen=True)

    log_level: LogLevel = Field(default=LogLevel.INFO, description="Least severity that is logged.")

    def to_environment(self) -> dict[str, str]:
        """Render as environment variables; a field that is None or an empty list is left out, a list is JSON."""
        return {
            ENVIRONMENT_PREFIX + name.upper(): json.dumps(value) if isinstance(value, list) else str(value)
            for name, value in self.model_dump(mode="json").items()
            if value is not None and value != []
        }


class FetchLaunch(_Launch):
    """Settings of ``llmi-server fetch``, the init container that downloads a model."""

    model_id: str = Field(min_length=1, description="Repository on the hub, as owner/name.")
    model_revision: str | None = Field(default=None, description="Branch, tag or commit; the hub's main if absent.")
    model_commit: str | None = Field(
        default=None,
        description="Commit to fetch, whatever the revision names by now: what the first replica resolved it to.",
    )
    hub_endpoint: str | None = Field(default=None, description="Base URL of a hub mirror.")
    hub_token_file: PurePosixPath | None = Field(default=None, description="File that holds the hub token.")
    model_dir: PurePosixPath = Field(default=MODEL_DIR, description="Empty folder that receives the files.")
    cache_dir: PurePosixPath | None = Field(
        default=None, description="Folder that outlives the pod and may be shared; the files are kept there if given."
    )
    port: int = Field(default=HTTP_PORT, ge=0, le=65535, description="TCP port where /readyz tells how far it is.")
    termination_message_path: PurePosixPath = Field(
        default=TERMINATION_MESSAGE_PATH, description="File that receives the report or the failure."
    )


class ServeLaunch(_Launch):
    """Settings of ``llmi-server serve`` that the operator decides."""

    model_dir: PurePosixPath = Field(default=MODEL_DIR, description="Folder with the model's files.")
    model_name: str = Field(min_length=1, description="Name that clients use and metrics carry.")
    task: Task = Field(description="What the model is asked to do.")
    precision: Precision = Field(default=Precision.AUTO, description="Number format of weights and arithmetic.")
    device: Device = Field(default=Device.AUTO, description="Where the model runs.")
    port: int = Field(default=HTTP_PORT, ge=1, le=65535, description="TCP port of the HTTP server.")
    max_input_tokens: int | None = Field(
        default=None, ge=1, description="Longest accepted input in tokens; the model's own limit if absent."
    )
    long_inputs: LongInputs | None = Field(
        default=None,
        description="What becomes of a longer text: refuse (if absent), truncate, or window (embeddings: the mean of "
        "its parts).",
    )
    max_output_tokens: int | None = Field(
        default=None, ge=1, description="Longest answer in tokens (text-generation); as many as fit if absent."
    )
    max_batch_tokens: int = Field(default=8192, ge=1, description="Most tokens computed in one batch.")
    max_queued_requests: int = Field(default=256, ge=1, description="Most requests waiting; more are refused.")
    request_timeout_seconds: int = Field(default=60, ge=1, description="Longest time for one request.")
    drain_seconds: int = Field(default=30, ge=0, description="Longest time for accepted requests after SIGTERM.")
    api_key_file: PurePosixPath | None = Field(default=None, description="File with API keys, one a line.")
    verify: Annotated[tuple[VerifyQuestion, ...], BeforeValidator(_read_json)] = Field(
        default=(), description="Questions that must be answered as expected before the server is ready."
    )
    termination_message_path: PurePosixPath = Field(
        default=TERMINATION_MESSAGE_PATH, description="File that receives the failure."
    )
