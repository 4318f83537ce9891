"""How replicas start, stop, are checked and observed."""

from enum import StrEnum

from pydantic import Field

from llmi_api.launch import LogLevel
from llmi_api.meta import Model


class RolloutMode(StrEnum):
    """How a new version takes the place of the old one."""

    AUTO = "Auto"
    SURGE = "Surge"
    REPLACE = "Replace"


class Rollout(Model):
    """How replicas start, stop and are replaced."""

    mode: RolloutMode = Field(
        default=RolloutMode.AUTO,
        description="How a new version takes the place of the old one. Surge: a new replica answers before an old one "
        "goes, which takes room for one more. Replace: an old replica goes before a new one starts, so one fewer "
        "answers meanwhile; of a single replica none. Auto: Surge, unless an accelerator is asked for and none is free "
        "for a replica more; then Replace until the rollout is over. status.rollout says which, and why.",
    )
    drain_seconds: int = Field(
        default=30,
        ge=0,
        le=3600,
        description="Longest time in seconds that a stopping replica gets to answer what it has accepted. What is "
        "left then is answered with 503.",
    )
    startup_timeout_seconds: int = Field(
        default=1800,
        ge=30,
        le=86400,
        description="Longest time in seconds from a server's start to its first answer; then it is started anew. A "
        "rollout that takes a minute longer than this, download included, is reported as stuck.",
    )


class VerifyPair(Model):
    """A question with a known answer. A replica that answers otherwise does not become ready."""

    input: str = Field(min_length=1, max_length=2048, description="Text that is sent to the model.")
    expect: str = Field(
        min_length=1,
        max_length=1024,
        description="Answer that must come: the best token (fill-mask), the best label (text-classification), all "
        "entities as `LABEL word, LABEL word` (token-classification), or how the likeliest answer begins "
        "(text-generation).",
    )


class Metrics(Model):
    """How Prometheus finds the replicas; their pods carry the usual scrape annotations in any case."""

    pod_monitor: bool = Field(
        default=False,
        description="Whether a PodMonitor is made. Needs the Prometheus operator's resources in the cluster.",
    )
    labels: dict[str, str] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra={"additionalProperties": {"type": "string", "maxLength": 63}},
        description="Labels for the PodMonitor, by which a Prometheus selects it; often `release: NAME`.",
    )


class Logs(Model):
    """What the replicas log."""

    level: LogLevel = Field(default=LogLevel.INFO, description="Least severity that is logged.")


class Observability(Model):
    """What can be seen of the replicas."""

    metrics: Metrics = Field(
        default=Metrics(), description="How Prometheus finds the replicas. /metrics itself is always served."
    )
    logs: Logs = Field(default=Logs(), description="What the replicas log.")
