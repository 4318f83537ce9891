"""A real Prometheus, a real Alertmanager and a receiver of its notifications, as processes on the loopback.

What is shipped is what runs: the scrape_configs of deploy/observability with their relabelling, and the rules with
every duration divided by `HASTE`. Only where pods are found is replaced: a file tells what Kubernetes would.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

import monitoring
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from observability.prometheus import write_rule_file

CONFIG = Path(__file__).parents[3] / "deploy" / "observability" / "prometheus" / "prometheus.yml"
HASTE = 40
SCRAPE_SECONDS = 2
NAMESPACE = "models"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(?<=\[)\d+[smh](?=\])|(?<=offset )\d+[smh]|(?<=for: )[1-9]\d*[smh]")


def hasten(rules: str, haste: int = HASTE) -> str:
    """Divide windows, offsets and waits; what thresholds say in seconds stays."""
    return _DURATION.sub(lambda found: f"{int(found[0][:-1]) * _UNITS[found[0][-1]] * 1000 // haste}ms", rules)


@dataclass(frozen=True)
class Target:
    """A pod as Kubernetes would tell of it."""

    name: str
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Give it as an entry of file_sd_configs."""
        meta = {
            "pod_phase": "Running",
            "pod_ip": "127.0.0.1",
            "namespace": NAMESPACE,
            "pod_name": f"{self.name}-0",
            **self.labels,
        }
        named = {f"__meta_kubernetes_{key}": value for key, value in meta.items()}
        return {"targets": [f"127.0.0.1:{self.port}"], "labels": named}


def model_target(name: str, port: int) -> Target:
    """A replica of a model, with the label and the annotations that the operator writes."""
    labels = {
        "pod_label_llminference_dev_llminference": name,
        "pod_annotation_prometheus_io_scrape": "true",
        "pod_annotation_prometheus_io_port": str(port),
        "pod_annotation_prometheus_io_path": "/metrics",
    }
    return Target(name, port, labels)


def operator_target(port: int) -> Target:
    """The operator's pod."""
    labels = {"pod_label_app_kubernetes_io_name": "llminference-operator", "pod_container_port_name": "health"}
    return Target("operator", port, {**labels, "namespace": "llminference-system"})


def adapter_target(port: int) -> Target:
    """The metrics adapter's pod."""
    labels = {"pod_label_app_kubernetes_io_name": "llminference-metrics-adapter", "pod_container_port_name": "https"}
    return Target("metrics-adapter", port, labels)


def state_metrics_target(port: int) -> Target:
    """The pod of kube-state-metrics."""
    labels = {"pod_label_app_kubernetes_io_name": "kube-state-metrics", "pod_container_port_number": "8080"}
    return Target("kube-state-metrics", port, labels)


def gpu_target(port: int) -> Target:
    """A pod of the DCGM exporter."""
    return Target("dcgm", port, {"pod_container_port_number": "9400", "pod_container_name": "nvidia-dcgm-exporter"})


@dataclass(frozen=True)
class Growing:
    """A counter that grows by so much a second."""

    rate: float

    def __float__(self) -> float:
        """Tell its value of now."""
        return (time.time() % 1e6) * self.rate


class StandIn:
    """An exporter that tells those of a test's series that are its own: of what cannot be had there."""

    def __init__(self, series: dict[str, float | Growing], choose: Callable[[str], bool]) -> None:
        self.series = series
        self._choose = choose
        self._http = _listen(self._handler())
        self.port = int(self._http.server_address[1])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        series, choose = self.series, self._choose

        class Handler(_Quiet):
            def do_GET(self) -> None:
                text = "".join(f"{name} {float(value)}\n" for name, value in list(series.items()) if choose(name))
                self.answer(text.encode())

        return Handler

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()


class Receiver:
    """Where Alertmanager sends its notifications."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self._http = _listen(self._handler())
        self.port = int(self._http.server_address[1])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        alerts = self.alerts

        class Handler(_Quiet):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                alerts.extend(body["alerts"])
                self.answer(b"")

        return Handler

    def of(self, name: str, status: str, **labels: str) -> list[dict[str, Any]]:
        """Those of a name and a status, firing or resolved, with labels."""
        wanted = {"alertname": name, **labels}
        return [one for one in self.alerts if one["status"] == status and wanted.items() <= one["labels"].items()]

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()


class _Quiet(BaseHTTPRequestHandler):
    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def _listen(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    return http


@dataclass(frozen=True)
class Stack:
    """Everything that runs, and how to ask it."""

    url: str
    http: httpx.Client
    receiver: Receiver

    def query(self, query: str) -> list[dict[str, Any]]:
        """Ask Prometheus for now."""
        answer = self.http.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, f"{query}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def query_range(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Ask Prometheus for a while."""
        answer = self.http.get("/api/v1/query_range", params={"query": query, "start": start, "end": end, "step": step})
        assert answer.status_code == 200, f"{query}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


@contextmanager
def running_stack(
    folder: Path,
    jobs: Mapping[str, list[Target]],
    *,
    port: int = 0,
    rules: str = "",
    scrape_seconds: int = SCRAPE_SECONDS,
) -> Iterator[Stack]:
    """Run it while the block runs.

    Args:
        folder: Where its files go.
        jobs: Targets of each job of the shipped configuration.
        port: Prometheus' port; any free one if 0.
        rules: The rule file, if it is to be another than the shipped one, hastened.
        scrape_seconds: How often it asks its targets.
    """
    receiver, ports = Receiver(), [port or free_port(), free_port()]
    (folder / "rules.yaml").write_text(rules or hasten(write_rule_file()))
    _write_files(folder, jobs, scrape_seconds, receiver.port, ports[1])
    programs = monitoring.find()
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *argv: str | Path) -> None:
        with (folder / f"{name}.log").open("wb") as log:
            started.append(subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log))

    try:
        start(
            "alertmanager",
            *(*programs.alertmanager, "--config.file=alertmanager.yml", "--storage.path=alertmanager"),
            *(f"--web.listen-address=127.0.0.1:{ports[1]}", "--cluster.listen-address="),
        )
        start(
            "prometheus",
            *(programs.prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
            *(f"--web.listen-address=127.0.0.1:{ports[0]}", "--rules.alert.resend-delay=1s"),
            *(f"--query.lookback-delta={5 * scrape_seconds}s", "--enable-feature=exemplar-storage"),
        )
        url = f"http://127.0.0.1:{ports[0]}"
        with httpx.Client(base_url=url, timeout=30) as http:
            eventually(lambda: _answers(http, started, folder), "Prometheus is ready", seconds=60)
            yield Stack(url, http, receiver)
    finally:
        for process in started:
            process.kill()
            process.wait()
        receiver.close()


def _answers(http: httpx.Client, started: list[subprocess.Popen[bytes]], folder: Path) -> bool:
    for process in started:
        assert process.poll() is None, "".join(log.read_text() for log in folder.glob("*.log"))
    try:
        return http.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _write_files(
    folder: Path, jobs: Mapping[str, list[Target]], scrape_seconds: int, receiver: int, manager: int
) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    every = {"scrape_interval": f"{scrape_seconds}s", "scrape_timeout": f"{scrape_seconds}s"}
    config["global"] = every | {"evaluation_interval": "1s"}
    config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]}
    for job in config["scrape_configs"]:
        name = job["job_name"]
        (folder / f"{name}.json").write_text(json.dumps([one.describe() for one in jobs.get(name, [])]))
        job.pop("kubernetes_sd_configs")
        job["file_sd_configs"] = [{"files": [f"{name}.json"]}]
        for secured in ("scheme", "authorization", "tls_config"):
            job.pop(secured, None)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    route = {
        "receiver": "test",
        "group_by": ["..."],
        "group_wait": "0s",
        "group_interval": "1s",
        "repeat_interval": "1h",
    }
    hook = {"url": f"http://127.0.0.1:{receiver}/", "send_resolved": True}
    manage = {"route": route, "receivers": [{"name": "test", "webhook_configs": [hook]}]}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(manage))
