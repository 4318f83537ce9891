"""The four commands: read, decide, show."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from llmi_kubectl.advice import sum_up
from llmi_kubectl.arguments import Arguments, Output
from llmi_kubectl.asking import ask_model, read_key
from llmi_kubectl.change import Change, compute_change
from llmi_kubectl.client import Client, Object
from llmi_kubectl.errors import Exit, PluginError
from llmi_kubectl.forwarding import forward
from llmi_kubectl.manifest_file import choose_namespace, read_manifests
from llmi_kubectl.picture import draw_picture
from llmi_kubectl.reading import find_inference, list_events, list_pods, read_surroundings
from llmi_kubectl.rendering import make_printable, render_answer, render_change, render_status, to_json
from llmi_kubectl.usage import read_usage
from llmi_operator.errors import InvalidSpecError
from llmi_operator.kinds import POD
from llmi_operator.parse import parse_resource, parse_status
from llmi_operator.plan.names import FETCH_CONTAINER, SERVER_CONTAINER
from llmi_operator.settings import OperatorSettings

STDIN = Path("-")


@dataclass(frozen=True)
class Result:
    """What a command came to: data for programs, and the same for eyes."""

    data: object
    parts: Iterable[RenderableType]


@dataclass(frozen=True)
class Call:
    """What a command works with.

    Attributes:
        write: Writes a line of a log at once.
    """

    client: Client
    arguments: Arguments
    now: Callable[[], datetime]
    write: Callable[[str], None]

    @property
    def namespace(self) -> str:
        """The namespace that was asked for, or else the context's."""
        return self.arguments.namespace or self.client.namespace


async def show_status(call: Call) -> Result:
    """How an LLMInference is doing."""
    name = call.arguments.name
    body = await find_inference(call.client, call.namespace, name)
    pods = await list_pods(call.client, call.namespace, name)
    events, notes = await list_events(call.client, call.namespace, name, pods)
    usages, unasked = await read_usage(pods, (*call.arguments.kubectl_flags, f"--namespace={call.namespace}"))
    used = sum_up(usages, call.arguments.advise_after)
    picture = draw_picture(body, pods, events, call.now(), notes=(*notes, *unasked), used=used)
    return Result(picture, render_status(picture))


async def show_plan(call: Call) -> Result:
    """What applying a file would do."""
    file = call.arguments.file or STDIN
    changes = [await _plan(call, manifest) for manifest in read_manifests(_read_text(file), str(file))]
    return Result({"changes": changes}, [part for change in changes for part in render_change(change)])


async def _plan(call: Call, manifest: Mapping[str, Any]) -> Change:
    namespace = choose_namespace(manifest, call.arguments.namespace, call.client.namespace)
    name = manifest["metadata"]["name"]
    around = await read_surroundings(call.client, namespace, name)
    try:
        return compute_change(manifest, namespace, around, OperatorSettings().server_defaults)
    except InvalidSpecError as error:
        raise PluginError(f"The cluster would refuse {name}: {error}", Exit.INVALID) from error


async def try_model(call: Call) -> Result:
    """Send one request that fits the task."""
    name, key = call.arguments.name, read_key(call.arguments.api_key_file)
    body = await find_inference(call.client, call.namespace, name)
    status = parse_status(body)
    if not status.ready_replicas:
        raise PluginError(f"No replica of {name} answers: {status.why or 'it is being started.'}", Exit.NO_ANSWER)
    try:
        spec = parse_resource(body).spec
    except InvalidSpecError as error:
        raise PluginError(f"The spec of {name} cannot be served: {error}", Exit.NO_ANSWER) from error
    flags = (*call.arguments.kubectl_flags, f"--namespace={call.namespace}")
    async with forward(f"service/{name}", spec.service.port, flags) as base:
        answer = await ask_model(base, call.namespace, name, spec, text=call.arguments.text, key=key)
    return Result(answer, render_answer(answer))


async def show_logs(call: Call) -> None:
    """The latest lines of every replica's log, each with its replica's name."""
    name = call.arguments.name
    await find_inference(call.client, call.namespace, name)
    pods = await list_pods(call.client, call.namespace, name)
    if not pods:
        raise PluginError(f"{name} has no replica: see kubectl llminference status {name}.")
    if call.arguments.follow:
        await asyncio.gather(*(_copy_log(call, pod) for pod in pods))
    else:
        for pod in pods:
            await _copy_log(call, pod)


async def _copy_log(call: Call, pod: Object) -> None:
    name, container = pod["metadata"]["name"], _choose_container(pod)
    if container is None:
        sys.stderr.write(f"{name}: no container of it has run yet.\n")
        return
    lines = call.client.read_log(
        POD, call.namespace, name, container=container, tail=call.arguments.tail, follow=call.arguments.follow
    )
    async for line in lines:
        if call.arguments.output is Output.JSON:
            call.write(to_json({"replica": name, "container": container, "line": line}, indent=None))
        else:
            call.write(f"{name} {container} | {make_printable(line)}")


def _choose_container(pod: Object) -> str | None:
    """The server once it has run, else the download; None before either has."""
    status = pod.get("status") or {}
    begun = {
        item["name"]
        for item in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
        if {"running", "terminated"} & set(item.get("state") or {}) or item.get("lastState")
    }
    return next((name for name in (SERVER_CONTAINER, FETCH_CONTAINER) if name in begun), None)


def _read_text(file: Path) -> str:
    try:
        return sys.stdin.read() if file == STDIN else file.read_text()
    except (OSError, ValueError) as error:
        raise PluginError(f"{file} cannot be read ({error}): correct --file.", Exit.BAD_USAGE) from error
