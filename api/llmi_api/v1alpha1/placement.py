"""What a replica asks of a node, and which nodes it may use."""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from llmi_api.meta import DNS_LABEL, DNS_SUBDOMAIN, LIST_TYPE, Model, Quantity, rules

LABEL_VALUE = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
PRODUCT_LABELS = {
    "nvidia.com/": "nvidia.com/gpu.product",
    "amd.com/": "amd.com/gpu.product-name",
    "gpu.intel.com/": "gpu.intel.com/product",
    "google.com/": "cloud.google.com/gke-tpu-accelerator",
    "aws.amazon.com/": "karpenter.k8s.aws/instance-accelerator-name",
}
"""Whose device it is, and the label in which their software, or the only cloud that has it, writes the product."""
SPOT_NEEDS_PLATFORM = (
    "accelerator.spot needs accelerator.platform: spot nodes have another label and taint on each platform."
)
DRA_INSTEAD = (
    "accelerator.dra takes the place of resource, count and products: say how many and which in dra.count and "
    "dra.selectors."
)
DEFAULT_RESOURCE = "nvidia.com/gpu"
PRODUCTS_NEED_LABEL = (
    "accelerator.products goes with resources of "
    f"{', '.join(vendor.rstrip('/') for vendor in PRODUCT_LABELS)} only: nodes with others carry no label that "
    "names the product; choose them by scheduling.nodeSelector."
)
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


class DeviceRequest(Model):
    """Devices by dynamic resource allocation (DRA)."""

    device_class_name: str = Field(
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="DeviceClass of the cluster, such as gpu.nvidia.com or mig.nvidia.com.",
    )
    count: int = Field(default=1, ge=1, le=64, description="How many such devices each replica gets.")
    selectors: list[str] | None = Field(
        default=None,
        max_length=8,
        json_schema_extra={
            LIST_TYPE: "atomic",
            "items": {"type": "string", "minLength": 1, "maxLength": 1024},
        },
        description="What a device must be: CEL expressions that must all be true, such as "
        "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'. Without it: any of the class.",
    )


class Platform(StrEnum):
    """What makes the nodes, and so labels and taints them."""

    GKE = "gke"
    EKS = "eks"
    AKS = "aks"
    KARPENTER = "karpenter"


class Accelerator(Model):
    """GPUs or other devices for each replica."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.spot) || !self.spot || has(self.platform)", SPOT_NEEDS_PLATFORM),
            (
                "!has(self.dra) || (self.resource == 'nvidia.com/gpu' && self.count == 1 && !has(self.products))",
                DRA_INSTEAD,
            ),
            (
                "!has(self.products) || "
                + " || ".join(f"self.resource.startsWith('{vendor}')" for vendor in PRODUCT_LABELS),
                PRODUCTS_NEED_LABEL,
            ),
        )
    )

    resource: str = Field(
        default=DEFAULT_RESOURCE,
        max_length=317,
        pattern=RESOURCE_NAME,
        description="Name under which the nodes offer the device: nvidia.com/gpu, nvidia.com/mig-1g.10gb, "
        "amd.com/gpu. The taint of that name is tolerated.",
    )
    count: int = Field(default=1, ge=1, le=64, description="How many such devices each replica gets.")
    products: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        json_schema_extra={
            LIST_TYPE: "set",
            "items": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL_VALUE},
        },
        description="Products that will do, as the nodes' label names them: NVIDIA-L4 (nvidia.com/gpu.product), "
        "nvidia-l4 with platform gke, l4 with karpenter, a VM size such as Standard_NC24ads_A100_v4 with aks. Other "
        "nodes get no replica. Without it: any.",
    )
    platform: Platform | None = Field(
        default=None,
        description="What makes the GPU nodes: it decides which label names the product and the spot nodes, and which "
        "taints are tolerated. karpenter is also EKS Auto Mode. Without it: the label of the device's vendor, and only "
        "the taint that has the resource's name.",
    )
    spot: bool = Field(
        default=False,
        description="Prefer spot nodes: their taint is tolerated, and where none has room, replicas go to other nodes.",
    )

    dra: DeviceRequest | None = Field(
        default=None,
        description="Ask for devices by dynamic resource allocation, in place of resource, count and products. Needs "
        "Kubernetes 1.34 and a DRA driver.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dra and (self.resource != DEFAULT_RESOURCE or self.count != 1 or self.products):
            raise ValueError(DRA_INSTEAD)
        if self.spot and self.platform is None:
            raise ValueError(SPOT_NEEDS_PLATFORM)
        if self.products and not self.resource.startswith(tuple(PRODUCT_LABELS)):
            raise ValueError(PRODUCTS_NEED_LABEL)
        return self


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


class Spread(StrEnum):
    """How strongly replicas keep apart."""

    PREFERRED = "Preferred"
    REQUIRED = "Required"


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
    runtime_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="RuntimeClass of the pods, which must exist, such as nvidia where containers reach GPUs only so. "
        "Without it: the cluster's default.",
    )
    queue_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL,
        description="LocalQueue of Kueue in the same namespace: replicas start when it admits them. Without it: at "
        "once. Only Kueue reads it; where there is none, it holds nothing back.",
    )
    spread: Spread | None = Field(
        default=None,
        description="Keep replicas apart. Preferred: on different nodes and in different zones where there is room. "
        "Required: no node has two more than another that selectors, products and tolerations allow; a replica waits "
        "rather than break this. "
        "Without it: the cluster's default.",
    )
    protect_from_disruption: bool = Field(
        default=False,
        description="Tell Karpenter and the cluster autoscaler not to move replicas for the sake of fewer nodes. It "
        "costs what half-empty nodes cost.",
    )
