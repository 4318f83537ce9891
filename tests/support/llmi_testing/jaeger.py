"""A real Jaeger with its traces in memory, configured as its image is, and asked as its page asks it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

import gobuild
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_ports

CONFIGURATION = "cmd/jaeger/internal/all-in-one.yaml"
ARRIVAL_SECONDS = 60
ANY_PORT = "127.0.0.1:0"


@dataclass(frozen=True)
class Shown:
    """A span as Jaeger shows it.

    Attributes:
        parent: Id of the span that it is a part of; that may be one that Jaeger never saw.
        tags: Its attributes.
    """

    name: str
    id: str
    parent: str | None
    service: str
    tags: dict[str, Any]


@dataclass(frozen=True)
class Jaeger:
    """A running one.

    Attributes:
        takes: Host and port where it takes OTLP over gRPC.
        http: Its page and the interface behind it.
    """

    takes: str
    http: httpx.Client

    def find(self, trace_id: str, *names: str) -> list[Shown]:
        """Wait until it shows a trace with spans of these names, and return them in that order."""

        def look() -> list[Shown]:
            found = {span.name: span for span in self.trace(trace_id)}
            assert set(names) <= set(found), sorted(found)
            return [found[name] for name in names]

        return eventually(look, f"Jaeger shows {trace_id}", seconds=ARRIVAL_SECONDS)

    def trace(self, trace_id: str) -> list[Shown]:
        """All spans of a trace; none where it is not known."""
        answer = self.http.get(f"/api/traces/{trace_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        (trace,) = answer.raise_for_status().json()["data"]
        return [_read(span, trace["processes"]) for span in trace["spans"]]

    def search(self, service: str, **tags: str) -> set[str]:
        """The ids of the traces in which a service has a span with these attributes."""
        given = {"service": service, "tags": json.dumps(tags), "lookback": "1h", "limit": "100"}
        found = self.http.get("/api/traces", params=given).raise_for_status().json()["data"]
        return {trace["traceID"] for trace in found}


@contextmanager
def running_jaeger(folder: Path) -> Iterator[Jaeger]:
    """Run one while the block runs."""
    grpc, http = free_ports(2)
    ours = folder / "jaeger.yaml"
    ours.write_text(yaml.safe_dump(_adapt(grpc, http)))
    own = gobuild.find_module(gobuild.TOOLS_DIR / "jaeger", gobuild.JAEGER_MODULE) / CONFIGURATION
    program, log = gobuild.jaeger().path("jaeger"), folder / "jaeger.log"
    with log.open("wb") as output, httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60) as client:
        argv = [str(program), f"--config={own}", f"--config={ours}"]
        process = subprocess.Popen(argv, stdout=output, stderr=output)
        try:
            eventually(lambda: _answers(process, client, log), "Jaeger answers", seconds=60)
            yield Jaeger(f"127.0.0.1:{grpc}", client)
        finally:
            process.terminate()
            process.wait(30)


def _adapt(grpc: int, http: int) -> dict[str, Any]:
    """What is another one than in its image: ports, and no more doors than our manifests open."""
    return {
        "extensions": {
            "jaeger_query": {
                "http": {"endpoint": f"127.0.0.1:{http}"},
                "grpc": {"endpoint": ANY_PORT},
            }
        },
        "receivers": {
            "otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{grpc}"}, "http": {"endpoint": ANY_PORT}}}
        },
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"]}},
            "telemetry": {"metrics": {"level": "none", "readers": []}},
        },
    }


def _read(span: dict[str, Any], processes: dict[str, Any]) -> Shown:
    parents = [one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"]
    return Shown(
        name=span["operationName"],
        id=span["spanID"],
        parent=parents[0] if parents else None,
        service=processes[span["processID"]]["serviceName"],
        tags={tag["key"]: tag["value"] for tag in span["tags"]},
    )


def _answers(process: "subprocess.Popen[bytes]", client: httpx.Client, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text()[-4000:])
    try:
        return client.get("/api/services").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
