"""How the model is reached, and by whom."""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from llmi_api.meta import LIST_TYPE, Model, SecretKey, rules

BALANCER_ONLY = "service.loadBalancerClass and service.loadBalancerSourceRanges go with service.type LoadBalancer only."
FIXED_BALANCER = (
    "service.loadBalancerClass cannot be changed, because a Service's cannot: "
    "set service.type ClusterIP first, then the new class."
)
RESERVED_ANNOTATION = "service.annotations must not begin with llminference.dev/: those are the operator's."
CIDR = "must be an address range such as 10.0.0.0/8 or 2001:db8::/32"
PEER = "Each entry of access.allowFrom needs cidr, or podLabels, namespaceLabels or both."
_CIDR_ITEM: JsonDict = {"type": "string", "maxLength": 43, **rules(("isCIDR(self)", CIDR))}
_LABEL_VALUE: JsonDict = {"additionalProperties": {"type": "string", "maxLength": 63}}


class ServiceType(StrEnum):
    """How the Service is reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Service(Model):
    """The Service in front of the replicas."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type == 'LoadBalancer' || !(has(self.loadBalancerClass) || has(self.loadBalancerSourceRanges))",
                BALANCER_ONLY,
            ),
            (
                "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || "
                "(has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && "
                "(!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))",
                FIXED_BALANCER,
            ),
            (
                "!has(self.annotations) || self.annotations.all(name, !name.startsWith('llminference.dev/'))",
                RESERVED_ANNOTATION,
            ),
        )
    )

    type: ServiceType = Field(
        default=ServiceType.CLUSTER_IP,
        description="ClusterIP: reached inside the cluster. NodePort: also at a port of every node, see "
        "status.nodePort. LoadBalancer: also at an address that the cloud gives, see status.url.",
    )
    port: int = Field(default=80, ge=1, le=65535, description="Port of the Service; the URL names it unless it is 80.")
    annotations: dict[str, str] | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={"additionalProperties": {"type": "string", "maxLength": 1024}},
        description="Annotations for the Service, by which clouds configure their load balancers.",
    )
    load_balancer_class: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$",
        description="Load balancer implementation that serves the Service. Without it: the cluster's default.",
    )
    load_balancer_source_ranges: list[str] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra={LIST_TYPE: "set", "items": _CIDR_ITEM},
        description="Address ranges from which the load balancer takes traffic, such as 203.0.113.0/24. Without it: "
        "from all.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        balanced = self.type is ServiceType.LOAD_BALANCER
        if not balanced and (self.load_balancer_class or self.load_balancer_source_ranges is not None):
            raise ValueError(BALANCER_ONLY)
        if any(name.startswith("llminference.dev/") for name in self.annotations or ()):
            raise ValueError(RESERVED_ANNOTATION)
        return self


class ApiKeySecret(SecretKey):
    """A key of a Secret in the same namespace."""

    key: str = Field(
        default="api-key",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Key in the Secret. Its value holds one API key a line; several allow changing them without a gap.",
    )


class AllowedPeer(Model):
    """Some callers: pods by labels, or an address range."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.cidr) != (has(self.podLabels) || has(self.namespaceLabels))", PEER),
        )
    )

    pod_labels: dict[str, str] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=_LABEL_VALUE,
        description="Labels that the calling pod must have. Without it: all pods of the namespaces below.",
    )
    namespace_labels: dict[str, str] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=_LABEL_VALUE,
        description="Labels that the caller's namespace must have. Without it: this namespace only. Empty ({}): every "
        "one.",
    )
    cidr: str | None = Field(
        default=None,
        max_length=43,
        json_schema_extra=rules(("isCIDR(self)", CIDR)),
        description="Address range of callers, such as 10.0.0.0/8.",
    )

    @model_validator(mode="after")
    def _address_or_labels(self) -> Self:
        if (self.cidr is not None) == (self.pod_labels is not None or self.namespace_labels is not None):
            raise ValueError(PEER)
        return self


class Access(Model):
    """Who may call the model."""

    api_key_secret: ApiKeySecret | None = Field(
        default=None,
        description="API keys, of which callers must send one as a Bearer token. Without it none is asked for.",
    )
    allow_from: list[AllowedPeer] | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={LIST_TYPE: "atomic"},
        description="Who may reach the replicas, by a NetworkPolicy that the cluster's network must enforce. Without "
        "it: everybody. Empty ([]): nobody but the operator.",
    )
