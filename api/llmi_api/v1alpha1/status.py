"""What the operator reports: the status of an LLMInference, version v1alpha1."""

from pydantic import Field

from llmi_api.meta import LIST_MAP_KEYS, LIST_TYPE, Condition, Model


class ModelStatus(Model):
    """The model that is served."""

    name: str = Field(max_length=1024, description="Repository, claim or image of the model.")
    revision: str | None = Field(default=None, max_length=64, description="Commit that the replicas run.")
    bytes: int | None = Field(default=None, ge=0, description="Size of the downloaded files in bytes.")


class EngineStatus(Model):
    """What runs the model."""

    name: str = Field(max_length=64, description="Name of the engine.")
    image: str = Field(max_length=1024, description="Image of the engine.")


class LLMInferenceStatus(Model):
    """The truth about an LLMInference, and what to do next."""

    observed_generation: int | None = Field(default=None, ge=0, description="Generation of the spec this is about.")
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        json_schema_extra={LIST_TYPE: "map", LIST_MAP_KEYS: ["type"]},
        description="Ready, Available, Progressing, Degraded and Stalled.",
    )
    replicas: int | None = Field(default=None, ge=0, description="Replicas that exist.")
    ready_replicas: int | None = Field(default=None, ge=0, description="Replicas that answer.")
    ready: str | None = Field(default=None, max_length=32, description="Ready replicas of wanted ones, such as 2/2.")
    selector: str | None = Field(default=None, max_length=512, description="Label selector of the pods, as a string.")
    url: str | None = Field(default=None, max_length=512, description="Where the model answers.")
    why: str | None = Field(
        default=None, max_length=2048, description="Empty when all is well; else what is wrong and what to do next."
    )
    model: ModelStatus | None = Field(default=None, description="The model that is served.")
    engine: EngineStatus | None = Field(default=None, description="What runs the model.")
