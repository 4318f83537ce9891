"""Settings of the operator: read once from the environment, frozen, passed on by argument."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from llmi_operator.errors import SettingsError

PREFIX = "LLMI_OPERATOR_"
SERVER_IMAGE = "server_image"
"""The setting that names the image of our own server."""
TRITON_IMAGE = "triton_image"
"""The setting that names the image of Triton with our back end."""


def _split_names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name for name in (part.strip() for part in value.split(",")) if name)
    return value


class ServerDefaults(BaseModel):
    """What a model server gets when its LLMInference does not say."""

    model_config = ConfigDict(frozen=True)

    images: Mapping[str, str]
    image_pull_policy: str
    cpu_request: str
    memory: str
    ephemeral_storage_request: str
    operator_namespace: str


class OperatorSettings(BaseModel):
    """All settings; each is the environment variable ``LLMI_OPERATOR_`` + its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespaces: Annotated[tuple[str, ...], BeforeValidator(_split_names)] = Field(
        default=(), description="Namespaces to serve, separated by commas; empty serves the whole cluster."
    )
    server_image: str = Field(default="llminference/server:dev", min_length=1, description="Image of the model server.")
    vllm_image: str = Field(
        default="vllm/vllm-openai:v0.33.0", min_length=1, description="Image of vLLM for NVIDIA GPUs."
    )
    vllm_amd_image: str = Field(
        default="vllm/vllm-openai-rocm:v0.33.0", min_length=1, description="Image of vLLM for AMD GPUs."
    )
    vllm_cpu_image: str = Field(
        default="vllm/vllm-openai-cpu:v0.33.0", min_length=1, description="Image of vLLM for CPUs."
    )
    triton_image: str = Field(
        default="llminference/triton:dev", min_length=1, description="Image of Triton with our back end."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="Pull policy of the engines' images."
    )
    default_cpu_request: str = Field(default="1", min_length=1, description="CPU request of a replica.")
    default_memory: str = Field(default="3Gi", min_length=1, description="Memory request and limit of a replica.")
    default_ephemeral_storage_request: str = Field(
        default="4Gi", min_length=1, description="Disk request of a replica that downloads its model."
    )
    resync_seconds: float = Field(default=600, ge=1, description="Time between two complete listings.")
    workers: int = Field(default=4, ge=1, le=64, description="Resources that are worked on at the same time.")
    lease_name: str = Field(default="llminference-operator", min_length=1, description="Lease that elects the leader.")
    lease_namespace: str = Field(default="default", min_length=1, description="Namespace of the lease.")
    lease_duration_seconds: int = Field(
        default=15, ge=2, description="After this time without renewal others take over."
    )
    lease_renew_deadline_seconds: float = Field(
        default=10, gt=0, description="A leader that could not renew for this long stops."
    )
    lease_retry_seconds: float = Field(default=2, gt=0, description="Time between two attempts to get or renew.")
    identity: str = Field(
        default="", description="Name of this replica in the lease; host name and a random part if empty."
    )
    health_host: str = Field(default="0.0.0.0", description="Address of the health and metrics port.")  # noqa: S104
    health_port: int = Field(default=8081, ge=0, le=65535, description="Port of /livez, /readyz and /metrics.")
    prices_file: str = Field(
        default="",
        description="YAML file with prices of nodes and accelerators (docs/cost.md); empty, or without such a file, no "
        "cost is told.",
    )
    user_agent: str = Field(default="llminference-operator", min_length=1, description="User agent towards the API.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="auto writes text to a terminal, else JSON lines."
    )

    @model_validator(mode="after")
    def _lease_times_in_order(self) -> Self:
        if not self.lease_retry_seconds < self.lease_renew_deadline_seconds < self.lease_duration_seconds:
            raise ValueError(
                f"{PREFIX}LEASE_RETRY_SECONDS < {PREFIX}LEASE_RENEW_DEADLINE_SECONDS < "
                f"{PREFIX}LEASE_DURATION_SECONDS must hold, or two replicas could write at once"
            )
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            SettingsError: A variable with our prefix is unknown or has an unusable value.
        """
        given = {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}
        known = {field.upper(): field for field in cls.model_fields}
        for name in sorted(given):
            if name not in known:
                raise SettingsError(_unknown(name, list(known)))
        try:
            return cls.model_validate({known[name]: value for name, value in given.items()})
        except ValidationError as error:
            raise SettingsError("; ".join(_sentence(item["loc"], item["msg"]) for item in error.errors())) from error

    @classmethod
    def describe(cls) -> str:
        """List all variables with their defaults, one a line."""
        return "\n".join(
            f"{PREFIX}{name.upper()}={','.join(field.default) if name == 'namespaces' else field.default}\n"
            f"    {field.description}"
            for name, field in cls.model_fields.items()
        )

    @property
    def server_defaults(self) -> ServerDefaults:
        """The part that decides what a model server looks like."""
        return ServerDefaults(
            images={name: value for name, value in self if name.endswith("_image")},
            image_pull_policy=self.image_pull_policy,
            cpu_request=self.default_cpu_request,
            memory=self.default_memory,
            ephemeral_storage_request=self.default_ephemeral_storage_request,
            # The lease is made beside the operator's pods.
            operator_namespace=self.lease_namespace,
        )


def _unknown(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"{PREFIX}{name} is not a setting of the operator: did you mean {PREFIX}{nearest[0]}?"


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    name = f"{PREFIX}{str(location[0]).upper()}: " if location else ""
    return name + message.removeprefix("Value error, ")
