"""How answers look: rich in a terminal, plain lines elsewhere, JSON for programs."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from llmi_kubectl.advice import ENOUGH_SECONDS, UsageSummary, describe_share, describe_time
from llmi_kubectl.change import Action, Change, Devices
from llmi_kubectl.cost_change import CostChange
from llmi_kubectl.picture import Happening, Picture, Replica
from llmi_operator.status.cost import UNKNOWN

PLAIN_WIDTH = 500
SHOWN_FIELDS = 4
_GIBIBYTE = 2**30
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# What a terminal would obey: a model, a user or an event may have written it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.DELETE: "red",
    Action.KEEP: "dim",
    Action.REFUSE: "bold red",
}
_REFUSED = "taken by an object that is not the operator's: the operator leaves it alone and says so"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        summary: The answer in a few lines; None when it has an unexpected shape.
    """

    namespace: str
    name: str
    task: str
    text: str
    seconds: float
    summary: tuple[str, ...] | None
    answer: object


def to_json(data: object, *, indent: int | None = 2) -> str:
    """Write dataclasses as JSON, their fields in camelCase."""
    return json.dumps(_to_plain(data), indent=indent, ensure_ascii=False)


def make_printable(text: str) -> str:
    """Take away what a terminal would obey instead of show; tabs and line breaks stay."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def print_parts(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print to a terminal, or without padding to whatever else the console writes to."""
    if console.is_terminal:
        for part in parts:
            console.print(part)
        return
    plain = Console(width=PLAIN_WIDTH, color_system=None, highlight=False)
    with plain.capture() as captured:
        for part in parts:
            plain.print(part)
    lines = captured.get().splitlines()
    console.file.write("".join(f"{line.rstrip()}\n" for line in lines))


def render_status(picture: Picture) -> Iterable[RenderableType]:
    """One screen about an LLMInference."""
    style = "green" if not picture.why else "yellow"
    yield Text.assemble(
        (picture.name, "bold"), f" in {picture.namespace}: ", (f"{picture.ready} ready", style),
        f" ({picture.reason})" if picture.reason else "",
    )  # fmt: skip
    if picture.behind:
        yield Text("The operator has not looked at the present spec yet; what follows is about an older one.", "yellow")
    if picture.why:
        yield _text(picture.why, style)
    yield _render_pairs(_list_facts(picture))
    for advice in picture.advice:
        yield _text(f"Advice: {advice}", "cyan")
    if picture.replicas:
        yield Text("")
        yield _render_replicas(picture.replicas)
    if picture.events:
        yield Text("")
        yield _render_events(picture.events)
    yield from _render_notes(picture.notes)


def render_change(change: Change) -> Iterable[RenderableType]:
    """What applying a file would do."""
    verb = "would be created" if change.is_new else "would not change" if change.is_empty else "would change"
    yield Text.assemble((change.name, "bold"), f" in {change.namespace} {verb}.")
    if change.is_empty:
        yield from _render_notes(change.notes)
        return
    table = Table.grid(padding=(0, 2))
    for step in change.steps:
        if step.action is not Action.KEEP:
            style = _STYLES[step.action]
            about = _REFUSED if step.action is Action.REFUSE else _shorten(step.fields)
            table.add_row(Text(step.action, style), Text(f"{step.kind}/{step.name}"), _text(about, "dim"))
    yield table
    yield Text("")
    yield _render_pairs(_list_consequences(change))
    yield from _render_notes(change.notes)


def render_answer(answer: Answer) -> Iterable[RenderableType]:
    """What a model answered to what."""
    yield _text(answer.text, "bold")
    if answer.summary is None:
        yield _text(json.dumps(answer.answer, ensure_ascii=False))
    else:
        for line in answer.summary:
            yield _text(f"  {line}")
    yield Text(f"{answer.name} answered in {answer.seconds:.3f} s.", "dim")


def _list_facts(picture: Picture) -> Iterable[tuple[str, str]]:
    revision = f" at {picture.revision[:12]}" if picture.revision else ""
    yield "model", f"{picture.model}{revision}, {picture.task}"
    if picture.engine:
        yield "engine", f"{picture.engine}, {picture.image}"
    yield "url", picture.url or "none while no replica answers"
    others = [address for address in picture.addresses if address != picture.url]
    if others:
        yield "also at", ", ".join(others)
    if picture.phases:
        about = f" ({picture.started_replica})" if picture.started_replica else ""
        yield "start", ", ".join(f"{name} {took}" for name, took in picture.phases.items()) + about
    memory = _describe_memory(picture)
    if memory:
        yield "memory", memory
    if picture.used is not None:
        yield "use", _describe_use(picture.used)
    yield from picture.reasons.items()
    if picture.metrics:
        yield "metrics", picture.metrics
    if picture.cost:
        yield "cost", _describe_cost(picture.cost)


def _list_consequences(change: Change) -> Iterable[tuple[str, str]]:
    before = f" (now {change.replicas_before})" if not change.is_new else ""
    yield "replicas", f"{change.replicas}{before}"
    if change.restarted:
        yield "restarts", f"{change.restarted}, for {_shorten(change.restart_fields)}"
    elif not change.is_new:
        yield "restarts", "none"
    for devices in change.devices:
        yield devices.resource, _describe_devices(devices)
    room = "unknown" if change.room is None else f"for {change.room} more, as the nodes are now"
    yield "room", room
    yield "gap", change.gap
    if change.cost is not None:
        yield "cost", _describe_cost_change(change.cost)


def _describe_cost(cost: Mapping[str, str]) -> str:
    because, per_hour = cost.get("because", "").rstrip("."), cost.get("perHour", UNKNOWN)
    if per_hour == UNKNOWN:
        return f"unknown: {because}"
    months = f"a month {cost.get('perMonthAtMin')} at the fewest replicas and {cost.get('perMonthAtMax')} at the most"
    return f"{per_hour} {cost.get('currency')} an hour, {months}: {because} ({cost.get('source')})"


def _describe_cost_change(cost: CostChange) -> str:
    if cost.lowest == UNKNOWN:
        return f"unknown: {cost.because}"
    amount = cost.lowest if cost.lowest == cost.highest else f"{cost.lowest} to {cost.highest}"
    return f"{amount} {cost.currency} an hour (now {cost.now}): {cost.because} ({cost.source})"


def _describe_devices(devices: Devices) -> str:
    free = "how many are free is unknown" if devices.free is None else f"{devices.free} free where a replica may run"
    return f"{devices.wanted} needed, {devices.each} a replica (now {devices.held}); {free}"


def _describe_memory(picture: Picture) -> str:
    amounts = (("measured", picture.memory_measured_bytes), ("predicted", picture.memory_predicted_bytes))
    return ", ".join(f"{amount / _GIBIBYTE:.2f} GiB {word}" for word, amount in amounts if amount is not None)


def _describe_use(used: UsageSummary) -> str:
    time, held = describe_time(used.serving_seconds), f"{used.peak_memory_bytes / _GIBIBYTE:.2f} GiB held at most"
    asked = "1 replica asked" if used.replicas == 1 else f"{used.replicas} replicas asked"
    if not used.is_long_enough:
        busy = f"computed {describe_share(used.hour_busy_share)} of the {time} in which it serves"
        enough = "an hour" if used.enough_seconds == ENOUGH_SECONDS else describe_time(used.enough_seconds)
        return f"{busy}, {held}; too short a time for advice, which takes {enough} ({asked})"
    busy = f"computed {describe_share(used.hour_busy_share)} of the last {used.span}"
    return f"{busy}, {describe_share(used.minute_busy_share)} of its busiest minute; {held} in {time} ({asked})"


def _render_pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        table.add_row(Text(name, "dim"), _text(value))
    return table


def _render_replicas(replicas: Iterable[Replica]) -> Table:
    table = _make_table("REPLICA", "READY", "STATE", "NODE", "RESTARTS", "AGE", "VERSION")
    for item in replicas:
        table.add_row(
            Text(item.name), Text("yes", "green") if item.ready else Text("no", "yellow"), _text(item.state),
            Text(item.node), Text(str(item.restarts)), Text(describe_age(item.age_seconds)), Text(item.version),
        )  # fmt: skip
    return table


def _render_events(events: Iterable[Happening]) -> Table:
    table = _make_table("AGE", "TYPE", "REASON", "ABOUT", "MESSAGE")
    for item in events:
        times = f" ({item.count} times)" if item.count > 1 else ""
        table.add_row(
            Text(describe_age(item.age_seconds)), Text(item.type, "yellow" if item.type == "Warning" else ""),
            _text(item.reason), _text(item.about), _text(" ".join(item.message.split()) + times),
        )  # fmt: skip
    return table


def _make_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _render_notes(notes: Iterable[str]) -> Iterable[RenderableType]:
    for note in notes:
        yield _text(f"Note: {note}", "dim")


def describe_age(seconds: float | None) -> str:
    """As kubectl writes ages, to one unit."""
    if seconds is None:
        return "?"
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{int(seconds // unit)}{letter}"
    return f"{int(seconds)}s"


def _shorten(fields: tuple[str, ...]) -> str:
    more = f" and {len(fields) - SHOWN_FIELDS} more" if len(fields) > SHOWN_FIELDS else ""
    return ", ".join(fields[:SHOWN_FIELDS]) + more


def _text(text: str, style: str = "") -> Text:
    return Text(make_printable(text), style)


def _to_plain(data: object) -> Any:  # noqa: ANN401 - any JSON
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return {_to_camel(field.name): _to_plain(getattr(data, field.name)) for field in dataclasses.fields(data)}
    if isinstance(data, Mapping):
        return {key: _to_plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_to_plain(item) for item in data]
    return data


def _to_camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
