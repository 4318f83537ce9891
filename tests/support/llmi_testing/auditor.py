"""An independent judge of an operator: a program of its own that reads nothing but the API.

    python -m llmi_testing.auditor KUBECONFIG FINDINGS EXCUSES

It knows the contract of the resource (its group, its labels, its conditions) and nothing of the operator's code. Every
second it looks at everything and writes what must not be, one JSON object a line, to FINDINGS:

- orphan: something with our label whose owner does not exist, for longer than a minute;
- harm: the operator's field manager on something that was never controlled by one of our resources;
- lie: Ready is True, and for longer than five seconds no ready endpoint belongs to a pod of the newest revision of a
  Deployment that has taken up the resource's present generation;
- transition: lastTransitionTime of a condition changed and its status did not;
- silence: a condition that is not True without reason or message;
- given-up: no word on the present generation for longer than a minute.

While EXCUSES exists, the operator is known to be down, and it is not blamed for being late.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Body = Mapping[str, Any]
GROUP_PATH = "/apis/llminference.dev/v1alpha1/llminferences"
KIND = "LLMInference"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "llminference-operator"
REVISION = "deployment.kubernetes.io/revision"
PLACES = {
    "Deployment": "/apis/apps/v1/deployments",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
}
RARE_PLACES = {
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
    "ServiceAccount": "/api/v1/serviceaccounts",
    "ConfigMap": "/api/v1/configmaps",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "ResourceClaimTemplate": "/apis/resource.k8s.io/v1/resourceclaimtemplates",
    "PodMonitor": "/apis/monitoring.coreos.com/v1/podmonitors",
    "ScaledObject": "/apis/keda.sh/v1alpha1/scaledobjects",
}
PERIOD_SECONDS = 1.0
RARELY = 5
LIE_SECONDS = 5.0
GRACE_SECONDS = 60.0
# From one look to the next no more than this counts: a machine that has no time to look has none to work either.
LONGEST_SECONDS = 1.5
# Negative conditions are well when they are False.
NEGATIVE = frozenset({"Stalled", "Degraded", "Progressing"})


@dataclass(frozen=True)
class Finding:
    """Something that must not be."""

    rule: str
    namespace: str
    name: str
    text: str


@dataclass
class Judge:
    """Decides about what was seen; knows no network.

    Attributes:
        since: When something that is tolerated for a while was first seen.
        conditions: What each resource's conditions were last, by uid.
        ours: Objects that were once controlled by one of our resources.
    """

    since: dict[tuple[str, str], float] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    conditions: dict[str, dict[str, Body]] = field(default_factory=dict)
    ours: set[str] = field(default_factory=set)

    def excuse(self) -> None:
        """Start all patience anew."""
        self.since.clear()

    def see_resource(self, body: Body) -> Iterable[Finding]:
        """Judge one state of a resource; every state must be seen, in order."""
        uid = body["metadata"]["uid"]
        before, now = self.conditions.get(uid, {}), _conditions(body)
        self.conditions[uid] = now
        for kind, condition in now.items():
            yield from _find_silence(body, kind, condition)
            if kind in before:
                yield from _find_wrong_transition(body, before[kind], condition)

    def see_all(self, resources: list[Body], objects: dict[str, list[Body]], now: float) -> Iterable[Finding]:
        """Judge everything there is at one moment; what is not judged now is looked at with new patience later."""
        self._forget_but({body["metadata"]["uid"] for body in itertools.chain(resources, *objects.values())})
        # What KEDA makes of a ScaledObject of ours bears its labels, and goes with it.
        uids = {body["metadata"]["uid"] for body in [*resources, *objects.get("ScaledObject", ())]}
        for kind, bodies in objects.items():
            if kind in {"ReplicaSet", "Pod", "EndpointSlice"}:
                continue
            for body in bodies:
                yield from self._see_object(kind, body, uids, now)
        for body in resources:
            yield from self._see_progress(body, now)
            fault = find_lie(body, objects)
            yield from self._tolerate("lie", body, LIE_SECONDS, now, fault)

    def _forget_but(self, uids: set[str]) -> None:
        self.since = {key: since for key, since in self.since.items() if key[1] in uids}

    def _see_object(self, kind: str, body: Body, uids: set[str], now: float) -> Iterable[Finding]:
        metadata = body["metadata"]
        owners = [item for item in metadata.get("ownerReferences") or () if item.get("controller")]
        if any(item["kind"] == KIND for item in owners):
            self.ours.add(metadata["uid"])
        labelled = (metadata.get("labels") or {}).get(MANAGED_BY) == MANAGER
        if labelled:
            lost = not owners or not any(item["uid"] in uids for item in owners)
            text = f"{kind} has our label and its owner does not exist" if lost else ""
            yield from self._tolerate("orphan", body, GRACE_SECONDS, now, text)
        managers = {item.get("manager", "") for item in metadata.get("managedFields") or ()}
        touched = any(name.startswith(MANAGER) for name in managers)
        if touched and not labelled and metadata["uid"] not in self.ours:
            yield from self._tolerate("harm", body, 0, now, f"{kind} is none of ours and has fields of the operator")

    def _see_progress(self, body: Body, now: float) -> Iterable[Finding]:
        generation, seen = body["metadata"]["generation"], (body.get("status") or {}).get("observedGeneration", 0)
        late = seen != generation and "deletionTimestamp" not in body["metadata"]
        text = f"generation is {generation}, and the status speaks of {seen}" if late else ""
        yield from self._tolerate("given-up", body, GRACE_SECONDS, now, text)

    def _tolerate(self, rule: str, body: Body, seconds: float, now: float, text: str) -> Iterable[Finding]:
        """Tell once what has been so for too long."""
        key = (rule, body["metadata"]["uid"])
        if not text:
            self.since.pop(key, None)
            return
        if now - self.since.setdefault(key, now) >= seconds and key not in self.told:
            self.told.add(key)
            yield _finding(rule, body, f"{text}, for {now - self.since[key]:.1f} s")


def find_lie(resource: Body, objects: Mapping[str, list[Body]]) -> str:
    """Why a resource that says Ready is not; empty when it says nothing of the kind, or tells the truth."""
    metadata = resource["metadata"]
    ready = _conditions(resource).get("Ready", {})
    if ready.get("status") != "True" or "deletionTimestamp" in metadata:
        return ""
    if ready.get("observedGeneration") != metadata["generation"]:
        return f"Ready is True of generation {ready.get('observedGeneration')}, and {metadata['generation']} is wanted"
    deployments = _controlled(objects["Deployment"], metadata["uid"])
    newest = [body["metadata"] for body in deployments if (body.get("status") or {}).get("observedGeneration", 0) > 0]
    revisions = {
        body["metadata"]["uid"]
        for item in newest
        for body in _controlled(objects["ReplicaSet"], item["uid"])
        if _annotation(body["metadata"]) == _annotation(item)
    }
    pods = {
        body["metadata"]["uid"]
        for body in objects["Pod"]
        if any(item["uid"] in revisions for item in body["metadata"].get("ownerReferences") or ())
    }
    seen: list[str] = []
    services = {body["metadata"]["name"] for body in _controlled(objects["Service"], metadata["uid"])}
    for piece in objects["EndpointSlice"]:
        labels = piece["metadata"].get("labels") or {}
        if piece["metadata"]["namespace"] != metadata["namespace"]:
            continue
        if labels.get("kubernetes.io/service-name") not in services:
            continue
        for endpoint in piece.get("endpoints") or ():
            is_ready = (endpoint.get("conditions") or {}).get("ready")
            target = endpoint.get("targetRef") or {}
            if is_ready and target.get("uid") in pods:
                return ""
            seen.append(f"{target.get('name')} {'ready' if is_ready else 'not ready'}")
    return (
        f"Ready is True without a ready endpoint of the newest revision ({len(revisions)} ReplicaSets of it, "
        f"{len(pods)} pods, services {sorted(services)}, endpoints {seen})"
    )


def _find_silence(body: Body, kind: str, condition: Body) -> Iterable[Finding]:
    bad = condition["status"] == ("True" if kind in NEGATIVE else "False")
    if not condition.get("reason") or (bad and not condition.get("message")):
        yield _finding("silence", body, f"{kind} is {condition['status']} without reason or message: {dict(condition)}")


def _find_wrong_transition(body: Body, before: Body, now: Body) -> Iterable[Finding]:
    flipped = before["status"] != now["status"]
    moved = before.get("lastTransitionTime") != now.get("lastTransitionTime")
    if moved and not flipped:
        yield _finding("transition", body, f"{now['type']} stayed {now['status']} and lastTransitionTime changed")


def _finding(rule: str, body: Body, text: str) -> Finding:
    return Finding(rule, body["metadata"].get("namespace", ""), body["metadata"]["name"], text)


def _conditions(body: Body) -> dict[str, Body]:
    return {item["type"]: item for item in (body.get("status") or {}).get("conditions") or ()}


def _controlled(bodies: Iterable[Body], uid: str) -> list[Body]:
    return [
        body
        for body in bodies
        if any(item.get("controller") and item["uid"] == uid for item in body["metadata"].get("ownerReferences") or ())
    ]


def _annotation(metadata: Body) -> str:
    return str((metadata.get("annotations") or {}).get(REVISION, ""))


class Auditor:
    """Reads the API and writes down what its judge finds."""

    def __init__(self, session: aiohttp.ClientSession, url: str, findings: Path, excuses: Path) -> None:
        self._session, self._url, self._findings, self._excuses = session, url, findings, excuses
        self._judge = Judge()
        self._looks = 0
        self._now, self._looked_at = 0.0, time.monotonic()
        self._rare: dict[str, list[Body]] = {}

    async def run(self) -> None:
        """Look until the program is ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._look_every_second())

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async for body in self._states():
                    self._tell(self._judge.see_resource(body))
            # After a gap, states may have been missed: a change of status there and back is nobody's fault.
            self._judge.conditions.clear()
            await asyncio.sleep(0.5)

    async def _states(self) -> AsyncIterator[Body]:
        listing = await self._get(GROUP_PATH)
        if listing is None:
            return
        for body in listing.get("items") or ():
            yield body
        query = f"?watch=true&allowWatchBookmarks=true&resourceVersion={listing['metadata']['resourceVersion']}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
        async with self._session.get(self._url + GROUP_PATH + query, timeout=timeout) as answer:
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        yield event["object"]

    async def _look_every_second(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._look()
            except (aiohttp.ClientError, OSError, TimeoutError, KeyError) as error:
                # The API server is away, and nobody can know anything.
                self._judge.excuse()
                print(f"could not look: {type(error).__name__}: {error}", file=sys.stderr)
            await asyncio.sleep(max(0.1, PERIOD_SECONDS - (time.monotonic() - began)))

    async def _look(self) -> None:
        if self._looks % RARELY == 0:
            rare = await asyncio.gather(*(self._get(place) for place in RARE_PLACES.values()))
            self._rare = {kind: _items(body) for kind, body in zip(RARE_PLACES, rare, strict=True)}
        self._looks += 1
        # The resources last: what they say must be true of the past as well as of now.
        found = await asyncio.gather(*(self._get(place) for place in PLACES.values()))
        resources = await self._get(GROUP_PATH)
        namespaces = _items(await self._get("/api/v1/namespaces"))
        objects = {kind: _items(body) for kind, body in zip(PLACES, found, strict=True)} | self._rare
        if self._excuses.exists():
            self._judge.excuse()
        objects = {kind: in_lasting(namespaces, bodies) for kind, bodies in objects.items()}
        self._tell(self._judge.see_all(in_lasting(namespaces, _items(resources)), objects, self._tick()))

    def _tick(self) -> float:
        """The time by a clock that does not run while nobody can look."""
        looked_at, self._looked_at = self._looked_at, time.monotonic()
        self._now += min(self._looked_at - looked_at, LONGEST_SECONDS)
        return self._now

    async def _get(self, path: str) -> Body | None:
        timeout = aiohttp.ClientTimeout(total=10, sock_connect=5)
        async with self._session.get(f"{self._url}{path}", timeout=timeout) as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            body: Body = await answer.json()
            return body

    def _tell(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            with self._findings.open("a") as file:
                file.write(json.dumps(vars(finding) | {"at": time.time()}) + "\n")


def is_ending(namespace: Body) -> bool:
    """Whether everything in a namespace is going, in whatever order."""
    return "deletionTimestamp" in namespace["metadata"]


def in_lasting(namespaces: list[Body], bodies: list[Body]) -> list[Body]:
    """Leave out what is in a namespace that is ending, or that has ended since it was listed."""
    lasting = {body["metadata"]["name"] for body in namespaces if not is_ending(body)}
    return [body for body in bodies if body["metadata"]["namespace"] in lasting]


def _items(body: Body | None) -> list[Body]:
    return list((body or {}).get("items") or ())


def make_context(config: Body) -> ssl.SSLContext:
    """Read a kubeconfig with everything in it."""
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.TemporaryDirectory() as folder:
        for name in ("client-certificate-data", "client-key-data"):
            (Path(folder) / name).write_bytes(base64.b64decode(user[name]))
        context.load_cert_chain(Path(folder) / "client-certificate-data", Path(folder) / "client-key-data")
    return context


async def main(kubeconfig: str, findings: str, excuses: str) -> None:
    """Audit until killed."""
    config = json.loads(Path(kubeconfig).read_text())  # noqa: ASYNC240 - nothing else runs yet
    connector = aiohttp.TCPConnector(ssl=make_context(config))
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        url = config["clusters"][0]["cluster"]["server"]
        await Auditor(session, url, Path(findings), Path(excuses)).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
