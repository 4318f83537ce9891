"""How many replicas run, when the load decides."""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from llmi_api.meta import DNS_SUBDOMAIN, Model, rules

MIN_MAX = "autoscaling.minReplicas must not be above autoscaling.maxReplicas."
ZERO_NEEDS_WAKE_UP = (
    "autoscaling.minReplicas 0 needs autoscaling.backend keda and autoscaling.wakeUp: nothing else would start a "
    "replica again."
)
WAKE_UP_FROM_ZERO = "autoscaling.wakeUp goes with autoscaling.minReplicas 0 only."
ONE_WAKE_UP = "Set exactly one of autoscaling.wakeUp.prometheus and autoscaling.wakeUp.httpAddOn."
ANY_TARGET = "autoscaling.targets needs cpuPercent, memoryPercent or inFlightPerReplica."
_ANY_TARGET_RULE = "has(self.cpuPercent) || has(self.memoryPercent) || has(self.inFlightPerReplica)"


class AutoscalingTargets(Model):
    """Averages over the replicas that the autoscaler steers to."""

    model_config = ConfigDict(json_schema_extra=rules((_ANY_TARGET_RULE, ANY_TARGET)))

    cpu_percent: int | None = Field(
        default=None, ge=1, le=1000, description="CPU that replicas use on average, in percent of what they request."
    )
    memory_percent: int | None = Field(
        default=None, ge=1, le=1000, description="Memory that replicas use on average, in percent of what they request."
    )
    in_flight_per_replica: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Requests that a replica runs or keeps waiting on average. It needs a custom metrics API in the "
        "cluster, such as our own (deploy/metrics-adapter), or backend keda.",
    )

    @model_validator(mode="after")
    def _any_target(self) -> Self:
        if self.cpu_percent is None and self.memory_percent is None and self.in_flight_per_replica is None:
            raise ValueError(ANY_TARGET)
        return self


class ScalingBackend(StrEnum):
    """What scales the replicas."""

    AUTO = "auto"
    HPA = "hpa"
    KEDA = "keda"


class PrometheusWakeUp(Model):
    """A query of Prometheus that tells of requests while no replica runs."""

    server_address: str = Field(
        min_length=1,
        max_length=512,
        pattern=r"^https?://[-.:\[\]A-Za-z0-9]+(/[-._~/A-Za-z0-9]*)?$",
        description="Address of Prometheus, as KEDA reaches it.",
    )
    query: str = Field(
        min_length=1,
        max_length=2048,
        description="More than 0 starts a replica and keeps one. Of something that stands in front and counts requests "
        "that find no replica, such as a gateway: the replicas' own metrics end with them.",
    )


class HttpAddOnWakeUp(Model):
    """KEDA's HTTP add-on, which holds requests until a replica answers."""

    interceptor_route: str = Field(
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Name of the InterceptorRoute in the same namespace that leads to this model's Service.",
    )
    scaler_address: str = Field(
        default="keda-add-ons-http-external-scaler.keda:9090",
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?:[0-9]{1,5}$",
        description="Host and port of the add-on's scaler, as KEDA reaches it.",
    )


class WakeUp(Model):
    """What starts a replica when none runs. It must stand in front of the model: a Service holds no requests."""

    model_config = ConfigDict(json_schema_extra=rules(("has(self.prometheus) != has(self.httpAddOn)", ONE_WAKE_UP)))

    prometheus: PrometheusWakeUp | None = Field(
        default=None, description="A query of Prometheus that tells of requests while no replica runs."
    )
    http_add_on: HttpAddOnWakeUp | None = Field(
        default=None, description="KEDA's HTTP add-on (0.14 or newer), which holds requests until a replica answers."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.prometheus is None) == (self.http_add_on is None):
            raise ValueError(ONE_WAKE_UP)
        return self


class Autoscaling(Model):
    """Lets the number of replicas follow the load, by a HorizontalPodAutoscaler or by KEDA."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.minReplicas <= self.maxReplicas", MIN_MAX),
            ("self.minReplicas > 0 || (self.backend == 'keda' && has(self.wakeUp))", ZERO_NEEDS_WAKE_UP),
            ("!has(self.wakeUp) || self.minReplicas == 0", WAKE_UP_FROM_ZERO),
        )
    )

    backend: ScalingBackend = Field(
        default=ScalingBackend.AUTO,
        description="What scales the replicas. hpa: Kubernetes' HorizontalPodAutoscaler. keda: a ScaledObject of KEDA, "
        "which must be installed. auto: hpa, so that an installation of KEDA changes nothing by itself.",
    )
    min_replicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Fewest replicas, however low the load. 0 needs backend keda and wakeUp.",
    )
    max_replicas: int = Field(ge=1, le=1000, description="Most replicas, however high the load.")
    targets: AutoscalingTargets = Field(
        default=AutoscalingTargets(cpu_percent=70),
        description="The averages that the autoscaler steers to; the one that asks for most replicas wins.",
    )
    scale_down_delay_seconds: int = Field(
        default=300,
        ge=0,
        le=3600,
        description="Seconds for which the load must stay low before a replica goes; then one a minute. Loading a "
        "model takes long, so too short is dear. The last replica goes, where minReplicas is 0, when it was as long "
        "not woken.",
    )
    wake_up: WakeUp | None = Field(
        default=None, description="What starts a replica when none runs, where minReplicas is 0."
    )

    @model_validator(mode="after")
    def _min_not_above_max(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(MIN_MAX)
        return self

    @model_validator(mode="after")
    def _zero_can_be_left(self) -> Self:
        if self.min_replicas == 0 and (self.wake_up is None or not self.uses_keda):
            raise ValueError(ZERO_NEEDS_WAKE_UP)
        if self.min_replicas > 0 and self.wake_up is not None:
            raise ValueError(WAKE_UP_FROM_ZERO)
        return self

    @property
    def uses_keda(self) -> bool:
        """Whether KEDA scales."""
        return self.backend is ScalingBackend.KEDA
