"""What a replica asks of a node, and which nodes it may use."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from llmi_api.meta import DNS_SUBDOMAIN, LIST_TYPE, Model, Quantity, rules

RESOURCE_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$"


class ResourceAmounts(Model):
    """Amounts of compute resources."""

    cpu: Quantity | None = Field(default=None, description="CPU cores, such as 2 or 500m (half a core).")
    memory: Quantity | None = Field(
        default=None, description="Memory, such as 4Gi. A replica above its limit is killed."
    )
    ephemeral_storage: Quantity | None = Field(
        default=None,
        alias="ephemeral-storage",
        description="Disk of the node, such as 20Gi. A download without model.cache lives there.",
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

    requests: ResourceAmounts | None = Field(
        default=None, description="Amounts that the node sets aside for a replica; they decide where it fits."
    )
    limits: ResourceAmounts | None = Field(
        default=None,
        description="Amounts that a replica cannot exceed. Without it: memory as requested, CPU without limit.",
    )


class Accelerator(Model):
    """GPUs or other devices for each replica."""

    resource: str = Field(
        default="nvidia.com/gpu",
        max_length=317,
        pattern=RESOURCE_NAME,
        description="Name under which the nodes offer the device: nvidia.com/gpu, nvidia.com/mig-1g.10gb, "
        "amd.com/gpu. The taint of that name is tolerated.",
    )
    count: int = Field(default=1, ge=1, le=64, description="How many such devices each replica gets.")


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

    key: str | None = Field(
        default=None, max_length=317, description="Key of the taint. Without it, and with operator Exists: every taint."
    )
    operator: TolerationOperator = Field(
        default=TolerationOperator.EQUAL, description="Equal: key and value must match. Exists: the key must."
    )
    value: str | None = Field(default=None, max_length=63, description="Value of the taint, with operator Equal.")
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint. Without it: every effect.")
    toleration_seconds: int | None = Field(
        default=None,
        ge=0,
        description="With effect NoExecute: seconds to stay after the taint appears. Without it: for ever.",
    )


class Scheduling(Model):
    """On which nodes the replicas may run."""

    node_selector: dict[str, str] | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={"additionalProperties": {"type": "string", "maxLength": 63}},
        description="Labels that a node must have, such as the one of a GPU model. Without it: any node.",
    )
    tolerations: list[Toleration] | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={LIST_TYPE: "atomic"},
        description="Taints of nodes that do not keep the replicas away.",
    )
    priority_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="PriorityClass of the pods, which must exist. Without it: the cluster's default.",
    )
