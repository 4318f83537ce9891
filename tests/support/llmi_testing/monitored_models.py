"""Models under load that Prometheus watches, and the faults that fire its alerts.

The servers are real: one in a process of its own, the others in this one, with an engine that does what a test says.
kube-state-metrics, cAdvisor, the DCGM exporter and the metrics adapter are stand-ins that write what those would. The
operator's metrics are its own, and filled by hand; so are the first tokens of the model `chat`, in its server's own
telemetry.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx

from llmi_api.launch import Task
from llmi_testing.engine import FakeEngine, fake_model
from llmi_testing.models import small_model
from llmi_testing.monitoring_stack import StandIn
from llmi_testing.operator_metrics import OperatorMetrics
from llmi_testing.served import Served, served
from llmi_testing.server import RunningServer, running_server
from llmi_testing.surrounding_metrics import FIRST_GPU, SECOND_GPU, broken, healthy

WORDS = "how do I get my money back " * 4
GPU, ADAPTER = "DCGM", "llmi_metrics_adapter"
MODELS = ("real", "well", "failing", "overloaded", "starting", "chat")


class SlowEngine(FakeEngine):
    """Takes its time for each batch."""

    seconds = 0.0

    def compute(self, batch):
        time.sleep(self.seconds)
        return super().compute(batch)


@dataclass
class Clients:
    """Clients that ask again and again until they are told to stop."""

    stopped: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def add(self, url: str, count: int, *, pause: float) -> None:
        """Let so many more ask, each with a pause between its questions."""
        for _ in range(count):
            thread = threading.Thread(target=self._ask, args=(url, pause), daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self) -> None:
        """Wait until all have had their last answer."""
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)

    def _ask(self, url: str, pause: float) -> None:
        with httpx.Client(timeout=120) as http:
            while not self.stopped.wait(pause):
                try:
                    http.post(url, json={"inputs": WORDS})
                except httpx.TransportError:
                    continue


@dataclass
class Monitored:
    """What runs, and what can be broken."""

    process: Served
    servers: dict[str, RunningServer]
    engines: dict[str, SlowEngine]
    stand_in: StandIn
    gpus: StandIn
    adapter: StandIn
    operator: OperatorMetrics
    load: Clients
    overload: Clients = field(default_factory=Clients)

    def ports(self) -> dict[str, int]:
        """Port of each model."""
        return {"real": self.process.port, **{name: one.port for name, one in self.servers.items()}}

    def be_well(self) -> None:
        """Let the model that is still starting be ready, and the GPU work, which at first does not."""
        self.servers["starting"].load(fake_model())
        self.stand_in.series[FIRST_GPU] = 70

    def break_all(self) -> None:
        """Begin every fault at once; each is another model's."""
        self.process.process.send_signal(signal.SIGSTOP)
        self.engines["failing"].error = RuntimeError("The sun is down.")
        self.overload_one()
        self.servers["chat"].telemetry.kv_cache_usage.set(0.99)
        self.stand_in.series.pop(SECOND_GPU)
        self.stand_in.series.update(broken())
        self.operator.stop()

    def overload_one(self) -> None:
        """Let more clients ask than its queue holds, and each batch take its time."""
        self.engines["overloaded"].seconds = 0.3
        self.overload.add(self.servers["overloaded"].url, 30, pause=0.2)

    def mend_all(self) -> None:
        """End every fault."""
        self.process.process.send_signal(signal.SIGCONT)
        self.engines["failing"].error = None
        self.engines["overloaded"].seconds = 0.0
        self.overload.stop()
        self.servers["chat"].telemetry.kv_cache_usage.set(0.5)
        for name in broken():
            self.stand_in.series.pop(name)
        self.stand_in.series.update(healthy(MODELS))
        self.be_well()
        self.operator.start()


@contextmanager
def monitored_models() -> Iterator[Monitored]:
    """Run the models under load while the block runs."""
    with ExitStack() as stack:
        load = Clients()
        engines = {name: SlowEngine() for name in MODELS[1:]}
        process = stack.enter_context(served(small_model("bert", "base"), Task.EMBEDDINGS))
        servers = {
            name: stack.enter_context(
                running_server(
                    fake_model(engine=engines[name]),
                    load=name != "starting",
                    model_name=name,
                    **({"max_batch_tokens": 32, "max_queued_requests": 22} if name == "overloaded" else {}),
                )
            )
            for name in MODELS[1:]
        }
        stand_in = StandIn({}, lambda name: not name.startswith((GPU, ADAPTER)))
        gpus = StandIn(stand_in.series, lambda name: name.startswith(GPU))
        adapter = StandIn(stand_in.series, lambda name: name.startswith(ADAPTER))
        for one in (stand_in, gpus, adapter):
            stack.callback(one.close)
        stand_in.series.update(healthy(MODELS) | {FIRST_GPU: 0})
        operator = OperatorMetrics(MODELS)
        operator.start()
        stack.callback(operator.stop)
        monitored = Monitored(process, servers, engines, stand_in, gpus, adapter, operator, load)
        stack.callback(load.stop)
        stack.callback(monitored.overload.stop)
        stack.callback(process.process.send_signal, signal.SIGCONT)
        for url in (process.url, *(servers[name].url for name in ("well", "failing", "overloaded"))):
            load.add(url, 1, pause=0.1)
        writer = threading.Thread(target=_write_tokens, args=(servers["chat"], load.stopped), daemon=True)
        writer.start()
        yield monitored


def _write_tokens(server: RunningServer, stopped: threading.Event) -> None:
    while not stopped.wait(0.2):
        slow = server.telemetry.kv_cache_usage._value.get() > 0.9
        server.telemetry.first_token("chat", 8.0 if slow else 0.05)
        server.telemetry.next_token("chat", 0.02)
        server.telemetry.step_done(
            texts=2, prompt_tokens=30, reused_tokens=5, generated_tokens=20, used_share=0.99 if slow else 0.5
        )
        server.telemetry.request_done(operation="chat", code=200, seconds=1.0)
        server.telemetry.request_begun(waited_seconds=0.01)
