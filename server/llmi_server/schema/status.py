"""Answer of ``GET /status``: for people and for the operator."""

from pydantic import BaseModel, Field


class PrecisionDrift(BaseModel):
    """How far answers are from those in float32, measured on sentences at the start."""

    texts: int = Field(description="How many sentences.")
    mean_cosine: float | None = Field(default=None, description="Of embeddings: mean cosine to float32.")
    min_cosine: float | None = Field(default=None, description="The least of them.")
    same_best: float | None = Field(default=None, description="Share of answers whose best label or token is the same.")
    largest_difference: float | None = Field(default=None, description="Largest difference of a score.")


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
    drift: PrecisionDrift | None = Field(default=None, description="Of int8: how far its answers are from float32.")
    revision: str | None = None
    weight_bytes: int | None = None
    max_input_tokens: int | None = None
    mask_token: str | None = Field(default=None, description="What stands for a missing word, for fill-mask.")
    converses: bool | None = Field(default=None, description="Whether the model answers conversations.")
