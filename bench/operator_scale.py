"""How many resources the operator carries: ``make bench-operator``, or with ``BENCH_ARGS="edits --scale 0.1"``.

Each scenario has a real API server of its own, with etcd, as plain processes, and the operator as one. ``burst`` also
has the controllers and a pretended node, so that resources become ready; the others have stopped resources
(``replicas: 0``), because there it is the operator that is measured and not the pods.

burst  1,000 created at once: resources ready a second
edits  one edit among 2,000: seconds until the child and the status follow, p50, p95, p99
held   10,000 over 50 namespaces: memory of the operator; then a restart: seconds until all was looked at, and what
       was applied meanwhile
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmi_testing.api import Api
from llmi_testing.apiserver import ROOT, ApiServer
from llmi_testing.control_plane import SYSTEM, make_account
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import CALM_LEASE, OperatorProcess
from llmi_testing.passes import read_metric, wait_until_idle
from llmi_testing.pretend_kubelet import PretendKubelet
from llmi_testing.writes import AppliedCount

PREFIX = "generated-scale-"
CLIENTS = 8
HOUR = 3600.0


@dataclass(frozen=True)
class Stage:
    """What a scenario works on."""

    server: ApiServer
    api: Api
    folder: Path

    def operator(self, name: str) -> OperatorProcess:
        """An operator process, not yet started."""
        return OperatorProcess(make_account(self.server), self.folder / name, **CALM_LEASE)


@contextmanager
def stage(*, controllers: bool) -> Iterator[Stage]:
    """A control plane with everything of deploy/ but the running operator."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(ApiServer(controllers=controllers))
        server.kubectl("apply", "-k", str(ROOT / "deploy"))
        server.kubectl("-n", SYSTEM, "delete", "deployment", "--all", "--wait=false")
        server.wait_until_types_are_served()
        api = Api(server)
        stack.callback(api.close)
        if controllers:
            stack.enter_context(PretendKubelet(Api(server)))
        yield Stage(server, api, folder)


def make_namespaces(api: Api, count: int) -> list[str]:
    """Create namespaces."""
    names = [f"{PREFIX}{number}" for number in range(count)]
    for name in names:
        api.create("namespaces", "", {"metadata": {"name": name}})
    return names


def create_all(api: Api, places: Iterable[tuple[str, str]], **spec: object) -> None:
    """Create resources with several clients at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda place: api.create("llminferences", place[0], make_body(place[1], **spec)), places))


def wait_for_all(api: Api, count: int, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until a condition holds for so many resources; to list thousands again and again would be a load itself."""
    while sum(holds(body) for body in api.list("llminferences")) < count:
        time.sleep(max(0.5, count / 1000))


def is_told(body: dict[str, Any]) -> bool:
    """Whether the status speaks of the present spec."""
    observed = (body.get("status") or {}).get("observedGeneration")
    return bool(observed == body["metadata"]["generation"])


def has_ready(body: dict[str, Any]) -> bool:
    """Whether it is ready."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return is_told(body) and any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def burst(count: int) -> dict[str, object]:
    """Create so many at once and wait until all are ready."""
    with stage(controllers=True) as on, on.operator("operator") as operator:
        eventually(operator.is_leader, seconds=60)
        (namespace,) = make_namespaces(on.api, 1)
        began = time.monotonic()
        create_all(on.api, [(namespace, f"r{number}") for number in range(count)])
        created = time.monotonic() - began
        wait_for_all(on.api, count, is_told)
        told = time.monotonic() - began
        wait_for_all(on.api, count, has_ready)
        ready = time.monotonic() - began
        return {
            "resources": count, "created_s": round(created, 1), "status_told_s": round(told, 1),
            "ready_s": round(ready, 1), "ready_per_s": round(count / ready, 2), "rss_mib": rss_mib(operator),
            "operator_cpu_s": cpu_s(operator),
        }  # fmt: skip


def edits(count: int, number: int = 200) -> dict[str, object]:
    """Edit one resource after the other and see how soon each is followed."""
    with stage(controllers=False) as on, on.operator("operator") as operator:
        eventually(operator.is_leader, seconds=60)
        (namespace,) = make_namespaces(on.api, 1)
        fill(on.api, operator, [(namespace, f"r{one}") for one in range(count)])
        seconds = sorted(edit_once(on.api, namespace, f"r{one * count // number}", 8000 + one) for one in range(number))
        return {
            "resources": count, "edits": number, "p50_s": round(statistics.median(seconds), 3),
            "p95_s": round(seconds[int(number * 0.95)], 3), "p99_s": round(seconds[int(number * 0.99)], 3),
            "max_s": round(seconds[-1], 3),
        }  # fmt: skip


def edit_once(api: Api, namespace: str, name: str, port: int) -> float:
    """Change the Service's port, and wait for Service and status."""
    began = time.monotonic()
    api.patch("llminferences", namespace, name, {"spec": {"service": {"port": port}}})
    while api.need("services", namespace, name)["spec"]["ports"][0]["port"] != port:
        time.sleep(0.01)
    while not is_told(api.need("llminferences", namespace, name)):
        time.sleep(0.01)
    return time.monotonic() - began


def held(count: int, namespaces: int = 50) -> dict[str, object]:
    """Fill a cluster, see the operator's memory, restart it."""
    with stage(controllers=False) as on:
        names = make_namespaces(on.api, namespaces)
        with on.operator("first") as first:
            eventually(first.is_leader, seconds=60)
            began = time.monotonic()
            fill(on.api, first, [(names[one % namespaces], f"r{one}") for one in range(count)])
            filled, memory = time.monotonic() - began, rss_mib(first)
        applied = AppliedCount(on.server)
        began = time.monotonic()
        with OperatorProcess(
            make_account(on.server), on.folder / "second", wait=False, resync_seconds="600", **CALM_LEASE
        ) as second:
            eventually(second.is_ready, seconds=HOUR)
            ready = time.monotonic() - began
            eventually(lambda: read_metric(second, 'llmi_operator_passes_total{result="done"') >= count, seconds=HOUR)
            wait_until_idle(second, seconds=HOUR)
            settled, memory_after, cpu = time.monotonic() - began, rss_mib(second), cpu_s(second)
        return {
            "resources": count, "namespaces": namespaces, "filled_s": round(filled), "rss_mib": memory,
            "restart_ready_s": round(ready, 1), "restart_settled_s": round(settled, 1), "rss_after_mib": memory_after,
            "restart_cpu_s": cpu, "applied_after_restart": applied.since(),
        }  # fmt: skip


def fill(api: Api, operator: OperatorProcess, places: list[tuple[str, str]]) -> None:
    """Create stopped resources and wait until the operator has done its work on all."""
    create_all(api, places, replicas=0)
    wait_for_all(api, len(places), is_told)
    wait_until_idle(operator, seconds=HOUR)


def cpu_s(operator: OperatorProcess) -> float:
    """Seconds of a core that the process has used: that does not depend on what else the machine does."""
    fields = Path(f"/proc/{operator.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1)


def rss_mib(operator: OperatorProcess) -> int:
    """The most resident memory that the process ever had."""
    lines = Path(f"/proc/{operator.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:"))


SCENARIOS: dict[str, tuple[Callable[[int], dict[str, object]], int]] = {
    "burst": (burst, 1000),
    "edits": (edits, 2000),
    "held": (held, 10000),
}


def main() -> None:
    """Run scenarios and print a JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], help="all three if none is named")
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the numbers, for a first try")
    arguments = parser.parse_args()
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load_before": round(os.getloadavg()[0], 1)}
    for name in arguments.scenarios or SCENARIOS:
        run, count = SCENARIOS[name]
        print(json.dumps({"scenario": name, **run(int(count * arguments.scale)), **machine}), flush=True)


if __name__ == "__main__":
    main()
