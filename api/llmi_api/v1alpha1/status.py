"""What the operator reports: the status of an LLMInference, version v1alpha1."""

from pydantic import Field

from llmi_api.meta import LIST_MAP_KEYS, LIST_TYPE, Condition, Model
from llmi_api.v1alpha1.conditions import ConditionType, Reason

UNSEEN = (
    "No operator has seen this yet. If this stays, see whether one runs and serves this namespace: "
    "kubectl get pods -A -l app.kubernetes.io/name=llminference-operator."
)


class ModelStatus(Model):
    """The model that is served."""

    name: str = Field(max_length=1024, description="The model as spec.model names it: repository, claim or image.")
    revision: str | None = Field(
        default=None,
        max_length=64,
        description="Commit that every replica and every restart uses: what the first replica resolved the revision "
        "to.",
    )
    upstream_revision: str | None = Field(
        default=None,
        max_length=64,
        description="Commit that the revision names by now, if it moved since. To follow, write it into "
        "spec.model.revision.",
    )
    bytes: int | None = Field(default=None, ge=0, description="Size of the model's files in bytes.")


class EngineStatus(Model):
    """What runs the model."""

    name: str = Field(max_length=64, description="Name of the engine, such as transformers.")
    image: str = Field(max_length=1024, description="Image that the newest replicas run.")


class StartupStatus(Model):
    """How long the latest start of a replica took, phase by phase. A phase is absent until it is over."""

    replica: str | None = Field(default=None, max_length=253, description="Pod that this is about.")
    scheduled: str | None = Field(default=None, max_length=16, description="From creation to a node, such as 1s.")
    pulled: str | None = Field(
        default=None, max_length=16, description="Until the first container ran, pulls included."
    )
    fetched: str | None = Field(default=None, max_length=16, description="Download of the model's files.")
    fetched_bytes: int | None = Field(default=None, ge=0, description="Bytes that were downloaded.")
    fetched_rate: str | None = Field(default=None, max_length=16, description="Speed of the download, as 85 MB/s.")
    loaded: str | None = Field(default=None, max_length=16, description="From the server's start to weights in memory.")
    warmed: str | None = Field(default=None, max_length=16, description="Warm-up and verification.")
    answered: str | None = Field(default=None, max_length=16, description="From creation to the first answer: all.")


class PrecisionMemory(Model):
    """Memory of one replica, predicted for each precision that its model and device could have."""

    float32: int | None = Field(default=None, ge=0, description="In float32, in bytes.")
    bfloat16: int | None = Field(default=None, ge=0, description="In bfloat16, in bytes.")
    float16: int | None = Field(default=None, ge=0, description="In float16, in bytes.")
    int8: int | None = Field(default=None, ge=0, description="In int8, in bytes.")


class MemoryStatus(Model):
    """Memory of one replica: what was predicted from the files, and what was measured."""

    model: str | None = Field(
        default=None, max_length=1024, description="Files that were read for it, such as owner/name@main."
    )
    predicted_bytes: int | None = Field(default=None, ge=0, description="Predicted before loading, in bytes.")
    by_precision: PrecisionMemory | None = Field(
        default=None, description="What was predicted for each spec.engine.precision, to choose by."
    )
    weights: PrecisionMemory | None = Field(
        default=None, description="Of what was predicted, the weights alone: less does not do."
    )
    device: str | None = Field(
        default=None,
        max_length=256,
        description="Memory of the accelerators that a replica gets, such as 1 x NVIDIA-L4 with 23034 MiB "
        "(nvidia.com/gpu.memory). Absent where nothing tells it.",
    )
    measured_bytes: int | None = Field(default=None, ge=0, description="Most that was used, in bytes.")


class ScalingStatus(Model):
    """What the autoscaler decided last, and by which numbers."""

    desired: int = Field(ge=0, description="Replicas that the autoscaler wants.")
    because: str = Field(
        max_length=256,
        description="What it was decided by, such as 4: 37 in flight, target 10 each. The numbers are of when it "
        "began to want so many replicas.",
    )
    source: str | None = Field(
        default=None,
        max_length=512,
        description="Which program measures what the autoscaler goes by, such as CPU: metrics-server in kube-system.",
    )


class CostStatus(Model):
    """What the replicas cost, by the list of prices that the operator was given: its amounts, or unknown."""

    per_hour: str = Field(
        max_length=32, description="What the replicas that have a node cost an hour, such as 0.2515; or unknown."
    )
    per_replica_hour: str = Field(
        max_length=32, description="Of this, what one replica costs on average; what one cost last while there is none."
    )
    per_month_at_min: str = Field(
        max_length=32, description="What the fewest replicas that the spec allows cost a month of 730 hours."
    )
    per_month_at_max: str = Field(
        max_length=32, description="What the most replicas that the spec allows cost a month of 730 hours."
    )
    currency: str | None = Field(default=None, max_length=3, description="Currency of all amounts, such as USD.")
    source: str | None = Field(
        default=None, max_length=200, description="Where the prices are from, in the list's words."
    )
    allowed_replicas: int | None = Field(
        default=None, ge=1, description="How many replicas spec.budget pays for; absent without one, or while unknown."
    )
    budget_price: str | None = Field(
        default=None,
        max_length=32,
        description="What one replica is reckoned to cost an hour for that: on the dearest node that it may use, the "
        "highest since the spec changed.",
    )
    because: str = Field(
        max_length=1024, description="How the amount comes about: shares of nodes and their prices; or what is missing."
    )


class RolloutStatus(Model):
    """How a new version takes the place of the old one."""

    mode: str = Field(
        max_length=16, description="Surge: a new replica starts beside the old ones. Replace: in the place of one."
    )
    because: str | None = Field(default=None, max_length=1024, description="Why so, and what it means for callers.")
    gap: str | None = Field(
        default=None,
        max_length=16,
        description="How long the place of a replica stays empty where it is replaced, such as 45s: from its stop to "
        "its successor's first answer, as the last start took. Absent where that is not known or never happens.",
    )


class LLMInferenceStatus(Model):
    """The truth about an LLMInference, and what to do next."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="metadata.generation of the spec that this status is about."
    )
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        json_schema_extra={LIST_TYPE: "map", LIST_MAP_KEYS: ["type"]},
        description="Ready, Available, Progressing, Degraded and Stalled, each with the same reason and sentence.",
    )
    replicas: int | None = Field(default=None, ge=0, description="Replicas that exist, whether they answer or not.")
    ready_replicas: int | None = Field(
        default=None, ge=0, description="Replicas that answer, those of an older version included."
    )
    ready: str | None = Field(
        default=None, max_length=32, description="Replicas that answer, of those wanted, such as 2/2."
    )
    selector: str | None = Field(
        default=None,
        max_length=512,
        description="Label selector of the pods, for autoscalers and for kubectl get pods -l.",
    )
    url: str | None = Field(
        default=None, max_length=512, description="Where the model answers; absent while no replica does."
    )
    addresses: list[str] = Field(
        default=[],
        max_length=16,
        json_schema_extra={LIST_TYPE: "atomic", "items": {"type": "string", "maxLength": 512}},
        description="All URLs at which the model answers: inside the cluster, at node ports, at the load balancer.",
    )
    node_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port at which every node answers, where the Service has one.",
    )
    why: str | None = Field(
        default=None,
        max_length=2048,
        description="Empty when all is well; else one sentence: what is wrong, then what to do.",
    )
    model: ModelStatus | None = Field(default=None, description="The model that is served.")
    engine: EngineStatus | None = Field(default=None, description="The program that runs the model.")
    startup: StartupStatus | None = Field(default=None, description="How long the latest start of a replica took.")
    memory: MemoryStatus | None = Field(default=None, description="Memory of one replica, predicted and measured.")
    scaling: ScalingStatus | None = Field(
        default=None, description="Why there are as many replicas, while spec.autoscaling is set."
    )
    cost: CostStatus | None = Field(
        default=None, description="What the replicas cost; absent unless the operator was given a list of prices."
    )
    rollout: RolloutStatus | None = Field(
        default=None, description="How replicas are replaced: now, while a rollout goes on, else in the next one."
    )


UNSEEN_STATUS = LLMInferenceStatus(
    conditions=[
        Condition(
            type=ConditionType.READY,
            status="Unknown",
            reason=Reason.PENDING,
            message=UNSEEN,
            last_transition_time="1970-01-01T00:00:00Z",
            observed_generation=0,
        )
    ],
    why=UNSEEN,
)
"""What the API server shows until an operator has written: tools that find no condition at all take that for ready."""
