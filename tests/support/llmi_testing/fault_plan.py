"""What goes wrong between the operator and the API server, as data.

    Fault(Match(verbs=WRITES, kinds=("deployments",), namespace="a"), Answer(429, retry_after=3), times=5)

A `Fault` is a pattern of requests, an action, and which of the matching requests it hits. `FaultProxy` carries it out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

WRITES = ("create", "update", "apply", "patch", "delete")
READS = ("get", "list", "watch")
NOT_OURS = ("leases", "events")
"""Kinds that are written apart from any resource's work."""
ALWAYS = None


@dataclass(frozen=True)
class Call:
    """One request, as a person would name it.

    Attributes:
        kind: The plural of the kind, as in the path.
        target: Path and query in a fixed order: two requests with the same one ask the same.
    """

    verb: str
    kind: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    agent: str = ""
    token: str = ""
    target: str = ""
    body: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.verb in WRITES

    @property
    def concerns_resources(self) -> bool:
        """Whether it changes a resource or a child, not a lease or an event."""
        return self.is_write and self.kind not in NOT_OURS


@dataclass(frozen=True)
class Match:
    """A pattern of requests; what is empty matches everything."""

    verbs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    namespace: str = ""
    name: str = ""
    subresource: str | None = None
    agent: str = ""
    token: str = ""

    def hits(self, call: Call) -> bool:
        """Whether a request fits the pattern."""
        return (
            (not self.verbs or call.verb in self.verbs)
            and (not self.kinds or call.kind in self.kinds)
            and self.namespace in {"", call.namespace}
            and self.name in {"", call.name}
            and self.subresource in {None, call.subresource}
            and self.agent in {"", call.agent}
            and self.token in {"", call.token}
        )


@dataclass(frozen=True)
class DropBefore:
    """The connection breaks and the API server never hears of it."""


@dataclass(frozen=True)
class DropAfter:
    """The API server has done it, and the connection breaks before the answer arrives."""


@dataclass(frozen=True)
class Delay:
    """It arrives later."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """Somebody else answers."""

    status: int
    retry_after: int | None = None


@dataclass(frozen=True)
class After:
    """Something happens when the API server has done it, before the operator knows."""

    do: Callable[[], object]


@dataclass(frozen=True)
class StaleList:
    """A listing is answered with what the same listing gave before the fault began."""


@dataclass(frozen=True)
class Cut:
    """A watch breaks when it has been open for so long."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Silence:
    """A watch stays open and says nothing any more; with ``new``, watches that are opened later as well."""

    new: bool = False


@dataclass(frozen=True)
class Hold:
    """Every event of a watch arrives later, in order."""

    seconds: float


@dataclass(frozen=True)
class Reverse:
    """Events of a watch that come within a while of each other arrive in the opposite order."""

    seconds: float


@dataclass(frozen=True)
class Hide:
    """Events of a watch never arrive."""


Action = DropBefore | DropAfter | Delay | Answer | After | StaleList | Cut | Silence | Hold | Reverse | Hide
ON_STREAMS = (Cut, Silence, Hold, Reverse, Hide)


@dataclass(frozen=True)
class Fault:
    """An action for requests of a pattern.

    Attributes:
        skip: How many of them pass first.
        times: How many are hit then; None hits all. Actions on watches know no numbers.
    """

    match: Match
    action: Action
    skip: int = 0
    times: int | None = 1


def read_call(method: str, url: str, headers: Mapping[str, str], data: bytes = b"") -> Call:
    """Name a request to the API server."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    words = [word for word in parts.path.split("/") if word]
    words = words[2:] if words[:1] == ["api"] else words[3:]
    namespace = ""
    if words[:1] == ["namespaces"] and len(words) > 2:
        namespace, words = words[1], words[2:]
    kind, name, subresource = (*words, "", "", "")[:3]
    target = parts.path + "?" + "&".join(f"{key}={value}" for key, value in sorted(query.items()))
    return Call(
        verb=_read_verb(method, name, query, headers),
        kind=kind,
        namespace=namespace,
        name=name,
        subresource=subresource,
        agent=headers.get("User-Agent", ""),
        token=headers.get("Authorization", "").partition(" ")[2],
        target=target,
        body=_read_body(data),
    )


def _read_verb(method: str, name: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if method == "GET":
        return "watch" if query.get("watch") == "true" else "get" if name else "list"
    if method == "PATCH":
        return "apply" if "apply-patch" in headers.get("Content-Type", "") else "patch"
    return {"POST": "create", "PUT": "update", "DELETE": "delete"}.get(method, method.lower())


def _read_body(data: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(data) if data else None
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
