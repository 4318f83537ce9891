"""OpenTelemetry's collector as a real process, with the configuration of deploy/observability/tracing."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import gobuild
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port

ROOT = Path(__file__).parents[3]
CONFIGURATION = ROOT / "deploy" / "observability" / "tracing" / "collector-config.yaml"
ARRIVAL_SECONDS = 60


@dataclass(frozen=True)
class Collected:
    """What a collector has received and written down.

    Attributes:
        url: Where it takes OTLP over HTTP.
        folder: Where its files are.
    """

    url: str
    folder: Path

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace that have arrived, each with the name of its service."""
        return [
            span | {"service": _value(resource["resource"]["attributes"], "service.name")}
            for line in _lines(self.folder / "traces")
            for resource in line["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
            if span["traceId"] == trace_id
        ]

    def find(self, trace_id: str, *names: str) -> list[dict[str, Any]]:
        """Wait until a trace has spans of these names, and return them in that order."""

        def look() -> list[dict[str, Any]]:
            found = {span["name"]: span for span in self.spans(trace_id)}
            assert set(names) <= set(found), sorted(found)
            return [found[name] for name in names]

        return eventually(look, f"spans of {trace_id}", seconds=ARRIVAL_SECONDS)

    def log_lines(self) -> list[str]:
        """The lines that it has read from files."""
        return [
            record["body"]["stringValue"]
            for line in _lines(self.folder / "logs")
            for resource in line["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]


@contextmanager
def running_collector(folder: Path, store: str | None = None) -> Iterator[Collected]:
    """Run a collector that writes traces and the lines of ``folder/pods/*.log`` into files, while the block runs.

    Args:
        folder: Where it writes.
        store: Host and port of a Jaeger, which then gets the traces too, by the exporter that is shipped.
    """
    port = free_port()
    (folder / "pods").mkdir()
    ours = folder / "collector.yaml"
    ours.write_text(yaml.safe_dump(_adapt(folder, port, store)))
    program = gobuild.collector().path("otelcol")
    with (folder / "collector.log").open("wb") as log:
        argv = [str(program), f"--config={CONFIGURATION}", f"--config={ours}"]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            eventually(lambda: _listens(process, port, folder / "collector.log"), "the collector listens", seconds=60)
            yield Collected(f"http://127.0.0.1:{port}", folder)
        finally:
            process.terminate()
            process.wait(30)


def _adapt(folder: Path, port: int, store: str | None) -> dict[str, Any]:
    """What is another one than in a cluster: addresses, and where everything goes."""
    exporters: dict[str, dict[str, str]] = {"file/traces": {"path": f"{folder}/traces"}}
    if store is not None:
        exporters["otlp_grpc/store"] = {"endpoint": store}
    return {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{free_port()}"},
                    "http": {"endpoint": f"127.0.0.1:{port}"},
                }
            },
            "filelog": {
                "include": [f"{folder}/pods/*.log"],
                "start_at": "beginning",
                "operators": [{"type": "container", "format": "containerd", "add_metadata_from_filepath": False}],
            },
        },
        "processors": {"batch": {"timeout": "200ms"}},
        "exporters": {**exporters, "file/logs": {"path": f"{folder}/logs"}},
        "service": {
            "pipelines": {
                "traces": {"exporters": list(exporters)},
                "logs": {"receivers": ["filelog"], "processors": ["batch"], "exporters": ["file/logs"]},
            }
        },
    }


def _listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text()[-4000:])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _value(attributes: list[dict[str, Any]], name: str) -> str | None:
    return next((one["value"]["stringValue"] for one in attributes if one["key"] == name), None)
