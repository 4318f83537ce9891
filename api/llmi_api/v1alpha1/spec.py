"""What a user writes: the spec of an LLMInference, version v1alpha1."""

from enum import StrEnum

from pydantic import ConfigDict, Field, model_validator

from llmi_api.launch import Precision, Task
from llmi_api.meta import DNS_SUBDOMAIN, LIST_TYPE, Model, Quantity, SecretKey, rules

IMAGE_REFERENCE = r"^[a-z0-9]([-a-z0-9.:_/]*[a-z0-9])?(:[A-Za-z0-9_][-.A-Za-z0-9_]*)?(@sha256:[a-f0-9]{64})?$"
RELATIVE_PATH = r"^[A-Za-z0-9_][-._A-Za-z0-9]*(/[A-Za-z0-9_][-._A-Za-z0-9]*)*$"
RESOURCE_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$"
ONE_SOURCE = "Set exactly one of model.id, model.claim and model.image."
HUB_ONLY = "model.revision, model.tokenSecret and model.endpoint go with model.id only."
REPLICAS_OR_AUTOSCALING = "Set replicas or autoscaling, not both: the autoscaler decides how many replicas run."
MIN_MAX = "autoscaling.minReplicas must not be above autoscaling.maxReplicas."
ANY_TARGET = "autoscaling.targets needs cpuPercent, memoryPercent or both."


class ModelClaim(Model):
    """A folder on a PersistentVolumeClaim that holds the model's files."""

    name: str = Field(
        min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of a claim in the same namespace."
    )
    path: str | None = Field(
        default=None, max_length=512, pattern=RELATIVE_PATH, description="Folder on the claim; its root if absent."
    )


class ModelImage(Model):
    """An OCI image or artifact that holds the model's files, mounted read-only without being run."""

    reference: str = Field(
        min_length=1, max_length=512, pattern=IMAGE_REFERENCE, description="Image reference, with tag or digest."
    )
    path: str | None = Field(
        default=None, max_length=512, pattern=RELATIVE_PATH, description="Folder in the image; its root if absent."
    )


class ModelSource(Model):
    """Where the model comes from: exactly one of id, claim and image."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("[has(self.id), has(self.claim), has(self.image)].filter(given, given).size() == 1", ONE_SOURCE),
            ("has(self.id) || !(has(self.revision) || has(self.tokenSecret) || has(self.endpoint))", HUB_ONLY),
        )
    )

    id: str | None = Field(
        default=None,
        min_length=1,
        max_length=193,
        pattern=r"^([A-Za-z0-9][-._A-Za-z0-9]*/)?[A-Za-z0-9][-._A-Za-z0-9]*$",
        description="Repository on the Hugging Face hub, such as google-bert/bert-large-uncased.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        pattern=r"^[A-Za-z0-9][-._/A-Za-z0-9]*$",
        description="Branch, tag or commit of the repository; its main branch if absent.",
    )
    token_secret: SecretKey | None = Field(
        default=None, description="Hub token for a gated or private repository. Only the download sees it."
    )
    endpoint: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://[-.:\[\]A-Za-z0-9]+(/[-._~/A-Za-z0-9]*)?$",
        description="Base URL of a mirror that speaks the hub's protocol; the public hub if absent.",
    )
    claim: ModelClaim | None = Field(default=None, description="The files are on a PersistentVolumeClaim.")
    image: ModelImage | None = Field(
        default=None,
        description="The files are in an OCI image (needs image volumes: Kubernetes 1.35, or 1.33 with the gate).",
    )

    @model_validator(mode="after")
    def _exactly_one_source(self) -> "ModelSource":
        if sum(source is not None for source in (self.id, self.claim, self.image)) != 1:
            raise ValueError(ONE_SOURCE)
        if self.id is None and (self.revision or self.token_secret or self.endpoint):
            raise ValueError(HUB_ONLY)
        return self


class Engine(Model):
    """What runs the model."""

    precision: Precision = Field(
        default=Precision.AUTO,
        description="Number format of weights and arithmetic; auto: float32 on most CPUs, bfloat16 on GPUs.",
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=IMAGE_REFERENCE,
        description="Image of the model server, in place of the operator's default.",
    )


class Limits(Model):
    """Bounds on what one replica accepts; beyond them it refuses with 400 or 429."""

    max_input_tokens: int | None = Field(
        default=None, ge=1, le=1048576, description="Longest input in tokens; what the model can take if absent."
    )
    max_batch_tokens: int = Field(default=8192, ge=1, le=1048576, description="Most tokens computed in one batch.")
    max_queued_requests: int = Field(
        default=256, ge=1, le=100000, description="Most requests waiting in one replica; more are refused with 429."
    )
    request_timeout_seconds: int = Field(
        default=60, ge=1, le=3600, description="Longest time for one request, waiting included, in seconds."
    )


class AutoscalingTargets(Model):
    """Averages over the replicas that the autoscaler steers to."""

    model_config = ConfigDict(json_schema_extra=rules(("has(self.cpuPercent) || has(self.memoryPercent)", ANY_TARGET)))

    cpu_percent: int | None = Field(default=None, ge=1, le=1000, description="CPU used, in percent of the request.")
    memory_percent: int | None = Field(
        default=None, ge=1, le=1000, description="Memory used, in percent of the request."
    )

    @model_validator(mode="after")
    def _any_target(self) -> "AutoscalingTargets":
        if self.cpu_percent is None and self.memory_percent is None:
            raise ValueError(ANY_TARGET)
        return self


class Autoscaling(Model):
    """Lets the number of replicas follow the load, by a HorizontalPodAutoscaler."""

    model_config = ConfigDict(json_schema_extra=rules(("self.minReplicas <= self.maxReplicas", MIN_MAX)))

    min_replicas: int = Field(default=1, ge=1, le=1000, description="Fewest replicas.")
    max_replicas: int = Field(ge=1, le=1000, description="Most replicas.")
    targets: AutoscalingTargets = Field(
        default=AutoscalingTargets(cpu_percent=70), description="What to steer to; 70 % of the CPU request if absent."
    )
    scale_down_delay_seconds: int = Field(
        default=300, ge=0, le=3600, description="How long the load must stay low before a replica goes, in seconds."
    )

    @model_validator(mode="after")
    def _min_not_above_max(self) -> "Autoscaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError(MIN_MAX)
        return self


class ResourceAmounts(Model):
    """Amounts of compute resources."""

    cpu: Quantity | None = Field(default=None, description="CPU cores, such as 2 or 500m.")
    memory: Quantity | None = Field(default=None, description="Memory, such as 4Gi.")
    ephemeral_storage: Quantity | None = Field(
        default=None, alias="ephemeral-storage", description="Disk of the node, such as 20Gi; downloads live there."
    )


def _within_limit(name: str) -> tuple[str, str]:
    field = name.replace("-", "__dash__")
    return (
        f"!(has(self.requests) && has(self.requests.{field}) && has(self.limits) && has(self.limits.{field})) || "
        f"quantity(string(self.requests.{field})).compareTo(quantity(string(self.limits.{field}))) <= 0",
        f"resources.requests.{name} must not be above resources.limits.{name}.",
    )


class Resources(Model):
    """CPU, memory and disk of one replica."""

    model_config = ConfigDict(
        json_schema_extra=rules(*(_within_limit(name) for name in ("cpu", "memory", "ephemeral-storage")))
    )

    requests: ResourceAmounts | None = Field(default=None, description="What is set aside on the node.")
    limits: ResourceAmounts | None = Field(default=None, description="What may not be exceeded.")


class Accelerator(Model):
    """GPUs or other devices for each replica."""

    resource: str = Field(
        default="nvidia.com/gpu",
        max_length=317,
        pattern=RESOURCE_NAME,
        description="Name under which the node's device plugin offers the device.",
    )
    count: int = Field(default=1, ge=1, le=64, description="Devices for each replica.")


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """Lets pods run on nodes with a taint."""

    key: str | None = Field(default=None, max_length=317, description="Taint key; all keys if absent (with Exists).")
    operator: TolerationOperator = Field(default=TolerationOperator.EQUAL, description="Exists ignores the value.")
    value: str | None = Field(default=None, max_length=63, description="Taint value, with Equal.")
    effect: TaintEffect | None = Field(default=None, description="Taint effect; all effects if absent.")
    toleration_seconds: int | None = Field(
        default=None, ge=0, description="With NoExecute: how long to stay after the taint appears, in seconds."
    )


class Scheduling(Model):
    """On which nodes the replicas may run."""

    node_selector: dict[str, str] | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={"additionalProperties": {"type": "string", "maxLength": 63}},
        description="Labels that a node must have.",
    )
    tolerations: list[Toleration] | None = Field(
        default=None, max_length=32, json_schema_extra={LIST_TYPE: "atomic"}, description="Taints that are accepted."
    )


class ServiceType(StrEnum):
    """How the Service is reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Service(Model):
    """The Service in front of the replicas."""

    type: ServiceType = Field(default=ServiceType.CLUSTER_IP, description="From where it can be reached.")
    port: int = Field(default=80, ge=1, le=65535, description="Port of the Service.")


class ApiKeySecret(SecretKey):
    """A key of a Secret in the same namespace."""

    key: str = Field(
        default="api-key",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Key in the Secret; its value holds one API key a line.",
    )


class Access(Model):
    """Who may call the model."""

    api_key_secret: ApiKeySecret | None = Field(
        default=None, description="API keys that callers must present as a Bearer token; open to all if absent."
    )


class Rollout(Model):
    """How replicas start and stop."""

    drain_seconds: int = Field(
        default=30, ge=0, le=3600, description="Longest time a stopping replica gets to answer what it accepted."
    )
    startup_timeout_seconds: int = Field(
        default=1800,
        ge=30,
        le=86400,
        description="Longest time from a server's start to its first answer; then it is started anew. "
        "A rollout that takes a minute longer than this, download included, is reported as stuck.",
    )


class LLMInferenceSpec(Model):
    """The model to serve, and how."""

    model_config = ConfigDict(
        json_schema_extra=rules(("!(has(self.replicas) && has(self.autoscaling))", REPLICAS_OR_AUTOSCALING))
    )

    model: ModelSource = Field(description="Where the model comes from.")
    task: Task = Field(description="What the model is asked to do.")
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

    @model_validator(mode="after")
    def _replicas_or_autoscaling(self) -> "LLMInferenceSpec":
        if self.replicas is not None and self.autoscaling is not None:
            raise ValueError(REPLICAS_OR_AUTOSCALING)
        return self
