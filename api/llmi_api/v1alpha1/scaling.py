"""How many replicas run, when the load decides."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from llmi_api.meta import Model, rules

MIN_MAX = "autoscaling.minReplicas must not be above autoscaling.maxReplicas."
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
        "cluster, such as our own (deploy/metrics-adapter).",
    )

    @model_validator(mode="after")
    def _any_target(self) -> Self:
        if self.cpu_percent is None and self.memory_percent is None and self.in_flight_per_replica is None:
            raise ValueError(ANY_TARGET)
        return self


class Autoscaling(Model):
    """Lets the number of replicas follow the load, by a HorizontalPodAutoscaler."""

    model_config = ConfigDict(json_schema_extra=rules(("self.minReplicas <= self.maxReplicas", MIN_MAX)))

    min_replicas: int = Field(default=1, ge=1, le=1000, description="Fewest replicas, however low the load.")
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
        "model takes long, so too short is dear.",
    )

    @model_validator(mode="after")
    def _min_not_above_max(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(MIN_MAX)
        return self
