"""What a user writes: the spec of an LLMInference, version v1alpha1."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from llmi_api.launch import LongInputs, Task
from llmi_api.meta import LIST_TYPE, Model, rules
from llmi_api.v1alpha1.abilities import find_refusal, write_rules
from llmi_api.v1alpha1.budget import Budget
from llmi_api.v1alpha1.engine import Engine, Limits
from llmi_api.v1alpha1.model_source import ModelSource
from llmi_api.v1alpha1.network import Access, Service
from llmi_api.v1alpha1.operation import Observability, Rollout, VerifyPair
from llmi_api.v1alpha1.placement import Accelerator, Resources, Scheduling, Spread
from llmi_api.v1alpha1.scaling import Autoscaling

REPLICAS_OR_AUTOSCALING = "Set replicas or autoscaling, not both: the autoscaler decides how many replicas run."
NO_SHORT_ANSWER = (
    "verify does not go with task embeddings, rerank or zero-shot-classification: they have no short answer to compare."
)
_NOT_VERIFIABLE = (Task.EMBEDDINGS, Task.RERANK, Task.ZERO_SHOT_CLASSIFICATION)

BUDGET_OF_MANY = (
    "budget goes with replicas or autoscaling: without either one replica runs, which a budget never takes away."
)
ONLY_GENERATED = "limits.maxOutputTokens goes with task text-generation only: other tasks' answers have no length."
LONG_INPUTS_BY_TASK = "limits.longInputs window goes with task embeddings only, and truncate not with text-generation."


APART_ON_ONE_NODE = (
    "scheduling.spread Required needs model.cache.accessMode ReadWriteMany: other caches are used on one node only."
)


class LLMInferenceSpec(Model):
    """The model to serve, and how."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!(has(self.replicas) && has(self.autoscaling))", REPLICAS_OR_AUTOSCALING),
            (
                "!has(self.verify) || !(self.task in ['embeddings', 'rerank', 'zero-shot-classification'])",
                NO_SHORT_ANSWER,
            ),
            ("!has(self.budget) || has(self.replicas) || has(self.autoscaling)", BUDGET_OF_MANY),
            (
                "!has(self.limits) || !has(self.limits.maxOutputTokens) || self.task == 'text-generation'",
                ONLY_GENERATED,
            ),
            (
                "!has(self.limits) || !has(self.limits.longInputs) || self.limits.longInputs == 'refuse' || "
                "self.task == 'embeddings' || "
                "(self.limits.longInputs == 'truncate' && self.task != 'text-generation')",
                LONG_INPUTS_BY_TASK,
            ),
            (
                "!has(self.scheduling) || !has(self.scheduling.spread) || self.scheduling.spread != 'Required' || "
                "!has(self.model.cache) || !has(self.model.cache.size) || "
                "(has(self.model.cache.accessMode) && self.model.cache.accessMode == 'ReadWriteMany')",
                APART_ON_ONE_NODE,
            ),
            *write_rules(),
        )
    )

    model: ModelSource = Field(
        description="Where the model comes from: a hub (id), a PersistentVolumeClaim (claim) or an OCI image (image)."
    )
    task: Task = Field(
        description="What the model is asked to do. A model that was not trained for it is refused when it is loaded."
    )
    paused: bool = Field(
        default=False,
        description="While true, the operator changes none of the objects it made; what runs goes on, and status goes "
        "on telling. For trying things by hand.",
    )
    engine: Engine = Field(default=Engine(), description="The program that runs the model, and how.")
    limits: Limits = Field(
        default=Limits(),
        description="Bounds on what one replica accepts; beyond them it refuses at once. How an engine other than "
        "transformers keeps them: docs/engines.md.",
    )
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="How many replicas run; 0 stops serving. Without this and without autoscaling: 1, or as many as an "
        "autoscaler left when it was switched off. `kubectl scale` sets it, and so may an autoscaler of yours, which "
        "needs a number here to start from.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None, description="Lets the number of replicas follow the load, in place of replicas."
    )
    budget: Budget | None = Field(
        default=None, description="Bounds what the replicas cost, by holding them at a number that it pays for."
    )
    resources: Resources | None = Field(
        default=None,
        description="CPU, memory and disk of one replica. What is left out gets the operator's defaults: 1 CPU, 3Gi "
        "of memory, 4Gi of disk for a download, unless its settings say otherwise.",
    )
    accelerator: Accelerator | None = Field(
        default=None, description="GPUs or other devices for each replica. Without it the model runs on the CPU."
    )
    scheduling: Scheduling | None = Field(
        default=None, description="Which nodes replicas may use, and which pods may be evicted for them."
    )
    service: Service = Field(default=Service(), description="The Service in front of the replicas.")
    access: Access | None = Field(
        default=None, description="Who may call the model. Without it: everybody who reaches the Service."
    )
    rollout: Rollout = Field(
        default=Rollout(), description="How replicas are replaced, and how long they may take to start and to stop."
    )
    verify: list[VerifyPair] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        json_schema_extra={LIST_TYPE: "atomic"},
        description="Questions with known answers. A replica that answers one wrongly never becomes ready, so a "
        "rollout to a broken model stops and the old replicas go on.",
    )
    observability: Observability = Field(default=Observability(), description="Metrics and logs of the replicas.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.replicas is not None and self.autoscaling is not None:
            raise ValueError(REPLICAS_OR_AUTOSCALING)
        if self.budget is not None and self.replicas is None and self.autoscaling is None:
            raise ValueError(BUDGET_OF_MANY)
        if self.verify is not None and self.task in _NOT_VERIFIABLE:
            raise ValueError(NO_SHORT_ANSWER)
        if self.limits.max_output_tokens is not None and self.task is not Task.TEXT_GENERATION:
            raise ValueError(ONLY_GENERATED)
        long_inputs = self.limits.long_inputs
        refuses = long_inputs is LongInputs.REFUSE or self.task is Task.EMBEDDINGS
        if not (refuses or (long_inputs is LongInputs.TRUNCATE and self.task is not Task.TEXT_GENERATION)):
            raise ValueError(LONG_INPUTS_BY_TASK)
        must_part = self.scheduling is not None and self.scheduling.spread is Spread.REQUIRED
        if must_part and self.model.cache is not None and self.model.cache.is_for_one_node:
            raise ValueError(APART_ON_ONE_NODE)
        refusal = find_refusal(self)
        if refusal:
            raise ValueError(refusal)
        return self
