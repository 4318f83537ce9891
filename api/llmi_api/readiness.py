"""What ``/readyz`` of a replica says, while it fetches, loads and serves: numbers only, no key needed.

The operator reads it to tell how far a start is, and what it took once it is done.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# The operator reads this over the network: nothing in it may be larger than a status can hold.
Bytes = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Lifetime = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MAX_PHASES = 32
MAX_PRECISIONS = 8


class Stage(StrEnum):
    """Coarse stages of a replica, in order."""

    FETCHING = "fetching"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Usage(BaseModel):
    """What a replica that serves has used, for whoever chooses its size."""

    model_config = ConfigDict(frozen=True)

    serving_seconds: Lifetime = Field(description="For how long it takes requests.")
    busy_seconds: Lifetime = Field(description="How much of that its engine computed.")
    hour_busy_share: Share = Field(description="Share of the last hour in which its engine computed.")
    minute_busy_share: Share = Field(description="The same of that hour's busiest minute.")
    peak_memory_bytes: Bytes = Field(description="Most memory that its processes have held, mapped files included.")


class ReadinessReport(BaseModel):
    """The body of ``/readyz``: with status 200 when the stage is ready, else 503."""

    model_config = ConfigDict(frozen=True)

    stage: Stage = Field(description="Where the replica is in its life.")
    phase: str = Field(max_length=64, description="What it does at the moment, such as weights, warm-up or verify.")
    done_bytes: Bytes | None = Field(default=None, description="Bytes fetched or loaded so far.")
    total_bytes: Bytes | None = Field(default=None, description="Bytes to fetch or load in all.")
    bytes_per_second: float | None = Field(
        default=None, ge=0, le=2**53, allow_inf_nan=False, description="Speed of the fetch or the load."
    )
    phase_seconds: dict[str, Seconds] = Field(
        default={},
        max_length=MAX_PHASES,
        description="How long each phase took that is over: imports, weights, warm-up, verify and others.",
    )
    predicted_memory_bytes: Bytes | None = Field(
        default=None, description="Memory that was predicted from the files before loading."
    )
    predicted_by_precision: dict[str, Bytes] = Field(
        default={},
        max_length=MAX_PRECISIONS,
        description="The same for each number format that the owner could choose: float32, bfloat16 and others.",
    )
    weights_by_precision: dict[str, Bytes] = Field(
        default={}, max_length=MAX_PRECISIONS, description="Of that, what the weights take that nothing can leave out."
    )
    measured_memory_bytes: Bytes | None = Field(
        default=None, description="Most memory used so far: of the process, or of the device if it is a GPU."
    )
    device: str | None = Field(default=None, max_length=64, description="Device that the model really runs on.")
    precision: str | None = Field(default=None, max_length=64, description="Number format that is really used.")
    usage: Usage | None = Field(default=None, description="What it has used, once it is ready.")
