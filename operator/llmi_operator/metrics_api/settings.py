"""Settings of the adapter: read once from the environment, frozen, passed on by argument."""

import difflib
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmi_api.launch import HTTP_PORT
from llmi_operator.errors import SettingsError

PREFIX = "LLMI_METRICS_ADAPTER_"


class AdapterSettings(BaseModel):
    """All settings; each is the environment variable ``LLMI_METRICS_ADAPTER_`` + its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str = Field(min_length=1, description="Namespace of the adapter's own Service.")
    host: str = Field(default="", description="Address to listen at; all addresses if empty.")
    port: int = Field(default=8443, ge=0, le=65535, description="Port, TLS only.")
    pod_port: int = Field(default=HTTP_PORT, ge=1, le=65535, description="Port at which replicas tell their metrics.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity logged."
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            SettingsError: A variable with our prefix is unknown or has an unusable value.
        """
        given = {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}
        known = {field.upper(): field for field in cls.model_fields}
        for name in sorted(given.keys() - known.keys()):
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
            raise SettingsError(f"{PREFIX}{name} is not a setting of the adapter: did you mean {PREFIX}{nearest}?")
        try:
            return cls.model_validate({known[name]: value for name, value in given.items()})
        except ValidationError as error:
            sentences = (f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
            raise SettingsError("; ".join(sentences)) from error
