"""What a replica asks of a node, and which nodes it may use."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from llmi_api.meta import DNS_SUBDOMAIN, LIST_TYPE, Model, Quantity, rules

RESOURCE_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$"


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
    priority_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="PriorityClass of the pods; the cluster's default if absent.",
    )
