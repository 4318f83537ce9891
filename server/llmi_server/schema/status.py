"""Answer of ``GET /status``: for people and for the operator."""

from pydantic import BaseModel, Field


class ServerStatus(BaseModel):
    """Where the server is and what it runs."""

    stage: str = Field(description="loading, ready or draining.")
    phase: str = Field(description="What is going on within the stage.")
    model: str
    task: str
    version: str
    age_seconds: float
    phase_seconds: dict[str, float] = Field(description="How long each phase of starting took.")
    peak_rss_bytes: int = Field(description="Most memory that the process has held.")
    engine: str | None = None
    device: str | None = None
    precision: str | None = None
    revision: str | None = None
    weight_bytes: int | None = None
    max_input_tokens: int | None = None
    mask_token: str | None = Field(default=None, description="What stands for a missing word, for fill-mask.")
    converses: bool | None = Field(default=None, description="Whether the model answers conversations.")
