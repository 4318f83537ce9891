"""All that is worth knowing about one LLMInference on one screen, out of the objects as they are stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from llmi_kubectl.advice import UsageSummary, advise
from llmi_operator.plan.names import FETCH_CONTAINER, SERVER_CONTAINER

_Body = Mapping[str, Any]
MOST_EVENTS = 8
_PHASES = ("scheduled", "pulled", "fetched", "loaded", "warmed", "answered")
# Blocks of the status that say in a sentence of their own why something is as it is.
_REASONED = ("scaling", "rollout")


@dataclass(frozen=True)
class Replica:
    """One pod.

    Attributes:
        state: What it does, in the kubelet's words where it is in trouble.
        version: Hash of its template; replicas of one version share it.
    """

    name: str
    ready: bool
    state: str
    node: str
    restarts: int
    age_seconds: float | None
    version: str


@dataclass(frozen=True)
class Happening:
    """An event."""

    age_seconds: float | None
    type: str
    reason: str
    about: str
    message: str
    count: int


@dataclass(frozen=True)
class Picture:
    """How an LLMInference is doing.

    Attributes:
        behind: The operator has not looked at the present spec yet.
        phases: How long each phase of the latest start took.
        reasons: Why it scales and rolls out as it does, by the status' own block.
        metrics: Which programs measure what the autoscaler goes by.
        cost: The status' block of that name; empty without a list of prices.
        used: What replicas have used; None when none was asked, or none told.
        advice: What would do with less, or needs more.
        notes: What could not be read.
    """

    namespace: str
    name: str
    model: str
    task: str
    ready: str
    reason: str
    why: str
    behind: bool
    url: str | None
    addresses: tuple[str, ...]
    revision: str | None
    engine: str
    image: str
    started_replica: str | None
    phases: Mapping[str, str]
    memory_predicted_bytes: int | None
    memory_measured_bytes: int | None
    reasons: Mapping[str, str]
    metrics: str
    cost: Mapping[str, str]
    replicas: tuple[Replica, ...]
    events: tuple[Happening, ...]
    used: UsageSummary | None = None
    advice: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def draw_picture(
    body: _Body,
    pods: Sequence[_Body],
    events: Iterable[_Body],
    now: datetime,
    *,
    notes: tuple[str, ...] = (),
    used: UsageSummary | None = None,
) -> Picture:
    """Gather it from the resource, its pods and the events about them."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    ready: _Body = next((item for item in status.get("conditions") or () if item["type"] == "Ready"), {})
    model, engine, startup = (status.get(name) or {} for name in ("model", "engine", "startup"))
    memory = status.get("memory") or {}
    return Picture(
        namespace=metadata["namespace"],
        name=metadata["name"],
        model=model.get("name") or _name_model(spec),
        task=spec.get("task", ""),
        ready=status.get("ready") or "0/?",
        reason=ready.get("reason", ""),
        why=status.get("why") or "",
        behind=status.get("observedGeneration") != metadata.get("generation"),
        url=status.get("url"),
        addresses=tuple(status.get("addresses") or ()),
        revision=model.get("revision"),
        engine=engine.get("name", ""),
        image=engine.get("image", ""),
        started_replica=startup.get("replica"),
        phases={name: startup[name] for name in _PHASES if startup.get(name)},
        memory_predicted_bytes=memory.get("predictedBytes"),
        memory_measured_bytes=memory.get("measuredBytes"),
        reasons={name: because for name in _REASONED if (because := (status.get(name) or {}).get("because"))},
        metrics=(status.get("scaling") or {}).get("source") or "",
        cost=status.get("cost") or {},
        replicas=tuple(_draw_replica(pod, now) for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))),
        events=_draw_events(events, now),
        used=used,
        advice=tuple(advise(spec, status, pods, used)),
        notes=notes,
    )


def _name_model(spec: _Body) -> str:
    source = spec.get("model") or {}
    image, claim = source.get("image") or {}, source.get("claim") or {}
    return str(source.get("id") or image.get("reference") or claim.get("name") or "")


def _draw_replica(pod: _Body, now: datetime) -> Replica:
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or ()}
    containers = _list_containers(status)
    return Replica(
        name=metadata["name"],
        ready=conditions.get("Ready") == "True" and "deletionTimestamp" not in metadata,
        state=_describe_state(pod, containers),
        node=pod["spec"].get("nodeName", ""),
        restarts=sum(item.get("restartCount", 0) for item in containers),
        age_seconds=_count_age(metadata.get("creationTimestamp"), now),
        version=(metadata.get("labels") or {}).get("pod-template-hash", ""),
    )


def _list_containers(status: _Body) -> list[_Body]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _describe_state(pod: _Body, containers: list[_Body]) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "stopping"
    for item in containers:
        state = item.get("state") or {}
        waiting, ended = (state.get("waiting") or {}).get("reason", ""), state.get("terminated") or {}
        if waiting and waiting not in {"PodInitializing", "ContainerCreating"}:
            return str(waiting)
        if ended and ended.get("exitCode", 0) != 0:
            return str(ended.get("reason") or "Error")
    running = {item["name"]: item for item in containers if (item.get("state") or {}).get("running")}
    if FETCH_CONTAINER in running:
        return "fetching"
    if SERVER_CONTAINER in running:
        return "serving" if running[SERVER_CONTAINER].get("ready") else "starting"
    return str((pod.get("status") or {}).get("phase") or "Pending").lower()


def _draw_events(events: Iterable[_Body], now: datetime) -> tuple[Happening, ...]:
    """The latest ones, the newest first; one that names its series tells when that was last seen."""
    newest = sorted(events, key=_find_time, reverse=True)[:MOST_EVENTS]
    return tuple(
        Happening(
            age_seconds=_count_age(_find_time(event) or None, now),
            type=event.get("type") or "",
            reason=event.get("reason") or "",
            about=f"{event['involvedObject'].get('kind', '')}/{event['involvedObject'].get('name', '')}",
            message=(event.get("message") or "").strip(),
            count=event.get("count") or (event.get("series") or {}).get("count") or 1,
        )
        for event in newest
    )


def _find_time(event: _Body) -> str:
    seen = (event.get("series") or {}).get("lastObservedTime")
    metadata = event.get("metadata") or {}
    found = seen or event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp")
    return str(found or "")


def _count_age(text: str | None, now: datetime) -> float | None:
    if not text:
        return None
    return max((now - datetime.fromisoformat(text).astimezone(UTC)).total_seconds(), 0.0)
