"""The JSON lines that our containers leave behind, read from their termination messages."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmi_api.failure import FetchReport
from llmi_api.readiness import MAX_PRECISIONS, Bytes
from llmi_operator.observed import PodState, Termination

Report = TypeVar("Report", bound=BaseModel)


class Failure(BaseModel):
    """A failure with any code: an image may be newer than this operator."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(pattern=r"^[A-Za-z]{1,64}$")
    message: str = Field(max_length=1024)
    next: str = Field(max_length=512)
    predicted_by_precision: dict[str, Bytes] = Field(default={}, max_length=MAX_PRECISIONS)


def read_report(message: str, report: type[Report]) -> Report | None:
    """Read the JSON line that our containers leave behind; None when there is none."""
    for line in reversed(message.splitlines()):
        try:
            return report.model_validate_json(line)
        except ValidationError:
            continue
    return None


def read_failure(end: Termination) -> Failure | None:
    """Why a container gave up, if it said so."""
    return read_report(end.message, Failure)


def read_fetch(pod: PodState) -> FetchReport | None:
    """What a pod's download came to; None while it is not over."""
    end = pod.fetch.terminated if pod.fetch else None
    return read_report(end.message, FetchReport) if end and end.exit_code == 0 else None


def find_fetch_report(pods: tuple[PodState, ...]) -> FetchReport | None:
    """What the replicas serve: the report of the newest pod, a ready one before others."""
    ordered = sorted(pods, key=lambda pod: (pod.ready, str(pod.created_at), pod.name), reverse=True)
    return next((report for report in map(read_fetch, ordered) if report), None)
