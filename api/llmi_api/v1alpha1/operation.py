"""How replicas start, stop, are checked and observed."""

from pydantic import Field

from llmi_api.launch import LogLevel
from llmi_api.meta import Model


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


class VerifyPair(Model):
    """A question with a known answer. A replica that answers otherwise does not become ready."""

    input: str = Field(min_length=1, max_length=2048, description="The text that is sent to the model.")
    expect: str = Field(
        min_length=1,
        max_length=1024,
        description="The answer in brief: the best token (fill-mask), the best label (text-classification), "
        "or the entities as LABEL word, LABEL word (token-classification).",
    )


class Metrics(Model):
    """How Prometheus finds the replicas; their pods carry the usual scrape annotations in any case."""

    pod_monitor: bool = Field(
        default=False, description="Makes a PodMonitor, where the Prometheus operator's resources are installed."
    )
    labels: dict[str, str] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra={"additionalProperties": {"type": "string", "maxLength": 63}},
        description="Labels of the PodMonitor, by which a Prometheus selects it.",
    )


class Logs(Model):
    """What the replicas log."""

    level: LogLevel = Field(default=LogLevel.INFO, description="Least severity that is logged.")


class Observability(Model):
    """What can be seen of the replicas."""

    metrics: Metrics = Field(default=Metrics(), description="How Prometheus finds the replicas.")
    logs: Logs = Field(default=Logs(), description="What the replicas log.")
