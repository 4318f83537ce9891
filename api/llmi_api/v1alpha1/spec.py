"""What a user writes: the spec of an LLMInference, version v1alpha1."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from llmi_api.launch import Task
from llmi_api.meta import LIST_TYPE, Model, rules
from llmi_api.v1alpha1.engine import Engine, Limits
from llmi_api.v1alpha1.model_source import ModelSource
from llmi_api.v1alpha1.network import Access, Service
from llmi_api.v1alpha1.operation import Observability, Rollout, VerifyPair
from llmi_api.v1alpha1.placement import Accelerator, Resources, Scheduling
from llmi_api.v1alpha1.scaling import Autoscaling

REPLICAS_OR_AUTOSCALING = "Set replicas or autoscaling, not both: the autoscaler decides how many replicas run."
NO_SHORT_ANSWER = "verify does not go with task embeddings: a vector has no short answer to compare."


class LLMInferenceSpec(Model):
    """The model to serve, and how."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!(has(self.replicas) && has(self.autoscaling))", REPLICAS_OR_AUTOSCALING),
            ("!has(self.verify) || self.task != 'embeddings'", NO_SHORT_ANSWER),
        )
    )

    model: ModelSource = Field(description="Where the model comes from.")
    task: Task = Field(description="What the model is asked to do.")
    paused: bool = Field(
        default=False,
        description="While true, the operator changes nothing for this resource; what runs goes on, status is kept.",
    )
    engine: Engine = Field(default=Engine(), description="What runs the model.")
    limits: Limits = Field(default=Limits(), description="Bounds on what one replica accepts.")
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Number of replicas; 1 if neither this nor autoscaling is set, 0 stops serving.",
    )
    autoscaling: Autoscaling | None = Field(default=None, description="Lets the replicas follow the load.")
    resources: Resources | None = Field(
        default=None, description="CPU, memory and disk of one replica; the operator's defaults if absent."
    )
    accelerator: Accelerator | None = Field(default=None, description="GPUs for each replica; none if absent.")
    scheduling: Scheduling | None = Field(default=None, description="On which nodes replicas may run.")
    service: Service = Field(default=Service(), description="The Service in front of the replicas.")
    access: Access | None = Field(default=None, description="Who may call the model.")
    rollout: Rollout = Field(default=Rollout(), description="How replicas start and stop.")
    verify: list[VerifyPair] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        json_schema_extra={LIST_TYPE: "atomic"},
        description="Questions that a replica must answer rightly before it becomes ready.",
    )
    observability: Observability = Field(default=Observability(), description="What can be seen of the replicas.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.replicas is not None and self.autoscaling is not None:
            raise ValueError(REPLICAS_OR_AUTOSCALING)
        if self.verify is not None and self.task is Task.EMBEDDINGS:
            raise ValueError(NO_SHORT_ANSWER)
        return self
