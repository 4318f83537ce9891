"""What runs the model, and what one replica of it accepts."""

import re
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from llmi_api.launch import EngineName, LongInputs, Precision
from llmi_api.meta import DNS_SUBDOMAIN, LIST_MAP_KEYS, LIST_TYPE, Model, rules
from llmi_api.v1alpha1.model_source import IMAGE_REFERENCE

RESERVED_VARIABLES = r"^(?:LD_|PYTHON|NVIDIA_|CUDA_|HF_|HUGGINGFACE_|TRANSFORMERS_|TORCH_|LLMI_|OMP_|MKL_)"
OWN_FLAGS = (
    r"^--?(?:host|port|uds|model|served[-_]model[-_]name|api[-_]key|middleware|root[-_]path|ssl[-_].*|trust[-_]remote[-_]code|"
    r"shutdown[-_]timeout|config|task|runner)(?:=.*)?$"
)
OWN_FLAG = (
    "engine.args must not set host, port, uds, model, served-model-name, api-key, middleware, root-path, ssl-*, "
    "shutdown-timeout, config, task or runner, which other fields set, nor trust-remote-code: "
    "code from a model is never run."
)
NO_ARGS = "engine.args does not go with engine.name transformers or triton: their settings are fields."
CUSTOM_IMAGE = "engine.name custom needs engine.image: the program to run."
CUSTOM_ONLY = "engine.command, engine.port and engine.healthPath go with engine.name custom only: others are known."
PROXY_VARIABLES = r"^(?:[hH][tT][tT][pP][sS]?|[aA][lL][lL]|[nN][oO])_[pP][rR][oO][xX][yY]$"
RESERVED = (
    "engine.env must not set proxies, nor names that begin with LD_, PYTHON, NVIDIA_, CUDA_, HF_, HUGGINGFACE_, "
    "TRANSFORMERS_, TORCH_, LLMI_, OMP_ or MKL_: they could load code or send the model elsewhere, "
    "or are set from other fields."
)


class EnvironmentVariable(Model):
    """One environment variable of the engine."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (f"!self.name.matches('{RESERVED_VARIABLES}') && !self.name.matches('{PROXY_VARIABLES}')", RESERVED)
        )
    )

    name: str = Field(
        min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the variable."
    )
    value: str = Field(default="", max_length=4096, description="Value, taken literally: $(NAME) is not expanded.")

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        if re.match(RESERVED_VARIABLES, self.name) or re.match(PROXY_VARIABLES, self.name):
            raise ValueError(RESERVED)
        return self


class Engine(Model):
    """What runs the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.name) || self.name != 'custom' || has(self.image)", CUSTOM_IMAGE),
            (
                "(has(self.name) && self.name == 'custom') || "
                "!(has(self.command) || has(self.port) || has(self.healthPath))",
                CUSTOM_ONLY,
            ),
            (
                "!has(self.args) || (has(self.name) && !(self.name in ['transformers', 'triton']))",
                NO_ARGS,
            ),
            (
                "!has(self.args) || !has(self.name) || self.name != 'vllm' || "
                f"self.args.all(arg, !arg.matches('{OWN_FLAGS}'))",
                OWN_FLAG,
            ),
        )
    )

    name: EngineName = Field(
        default=EngineName.TRANSFORMERS,
        description="Which program runs the model: transformers is the server that comes with the operator; vllm is "
        "vLLM's OpenAI server; triton is NVIDIA's Triton Inference Server, for clients of KServe's protocol; custom is "
        "any HTTP server of yours, in engine.image. docs/engines.md says what each can do.",
    )
    precision: Precision = Field(
        default=Precision.AUTO,
        description="Number format of weights and arithmetic. auto: bfloat16 where it is computed (GPUs; encoders on "
        "CPUs with AVX512-BF16 or AMX), else float16 on a GPU and float32 on a CPU. Half the bits take half the "
        "memory; answers differ a little, so set float32 where they must not depend on the node. int8 is for encoders "
        "on a CPU: faster, a quarter of the memory in layers, and how far answers are from float32 is measured at the "
        "start and shown.",
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=IMAGE_REFERENCE,
        description="Image of the engine, in place of the one that the operator is set to use.",
    )
    image_pull_secrets: list[str] | None = Field(
        default=None,
        max_length=8,
        json_schema_extra={
            LIST_TYPE: "set",
            "items": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": DNS_SUBDOMAIN},
        },
        description="Names of Secrets in the same namespace (kubernetes.io/dockerconfigjson) for pulling from private "
        "registries, the model's image included.",
    )
    command: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        json_schema_extra={LIST_TYPE: "atomic", "items": {"type": "string", "minLength": 1, "maxLength": 1024}},
        description="With custom: the program and its first arguments, in place of the image's entry point. The "
        "model's files are in /model.",
    )
    port: int | None = Field(
        default=None,
        ge=1024,
        le=65535,
        description="With custom: port at which the program serves HTTP, on all addresses. Without it: 8080.",
    )
    health_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        pattern=r"^/[!-~]*$",
        description="With custom: path that answers 200 once requests are answered. Without it: /health.",
    )
    args: list[str] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra={LIST_TYPE: "atomic", "items": {"type": "string", "minLength": 1, "maxLength": 1024}},
        description="Arguments after those that fields set, for what no field offers, such as --max-num-seqs=64. Taken "
        "literally: $(NAME) is not expanded.",
    )
    env: list[EnvironmentVariable] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra={LIST_TYPE: "map", LIST_MAP_KEYS: ["name"]},
        description="Environment variables of the engine, for what no field offers. Those that fields set are "
        "reserved.",
    )

    @model_validator(mode="after")
    def _fitting_args(self) -> Self:
        if self.name is EngineName.CUSTOM and self.image is None:
            raise ValueError(CUSTOM_IMAGE)
        if self.name is not EngineName.CUSTOM and (self.command or self.port or self.health_path):
            raise ValueError(CUSTOM_ONLY)
        if self.args is not None and self.name in (EngineName.TRANSFORMERS, EngineName.TRITON):
            raise ValueError(NO_ARGS)
        if self.name is EngineName.VLLM and any(re.match(OWN_FLAGS, arg) for arg in self.args or ()):
            raise ValueError(OWN_FLAG)
        return self


class Limits(Model):
    """Bounds on what one replica accepts; beyond them it refuses with 400 or 429."""

    max_input_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1048576,
        description="Longest input, in tokens; longInputs says what becomes of a longer one. Without it: what the "
        "model can take.",
    )
    long_inputs: LongInputs = Field(
        default=LongInputs.REFUSE,
        description="What becomes of an input longer than that, where the request does not say: refuse (400), "
        "truncate, or, with task embeddings, window: the mean of overlapping parts. Answers tell of either.",
    )
    max_output_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1048576,
        description="Longest answer, in tokens; only with task text-generation. A request for more is refused with "
        "400. Without it: what the prompt leaves.",
    )
    max_batch_tokens: int = Field(
        default=8192,
        ge=1,
        le=1048576,
        description="Most tokens computed at once. More answers more requests a second and takes more memory.",
    )
    max_queued_requests: int = Field(
        default=256,
        ge=1,
        le=100000,
        description="Most requests that wait in one replica; one more is refused with 429 and Retry-After.",
    )
    request_timeout_seconds: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="Longest time for one request in seconds, waiting included; then it is answered with 504.",
    )
