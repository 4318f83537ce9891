"""The operator's own metrics, served as it serves them, and filled by hand: no operator runs."""

import threading
import time
from collections.abc import Iterable

from prometheus_client import start_http_server

from llmi_operator.metrics import (
    LEADER,
    PASS_SECONDS,
    PASSES,
    QUEUE_LENGTH,
    REGISTRY,
    REQUESTS,
    RESYNC_TIME,
    STORED_OBJECTS,
)
from llmi_testing.model_costs import publish_costs


class OperatorMetrics:
    """Serves them from `start` to `stop`, at one port; the models' cost among them."""

    def __init__(self, models: Iterable[str]) -> None:
        self.port = 0
        self._models = tuple(models)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Lead, make passes, and answer."""
        self._stopped.clear()
        publish_costs(self._models)
        self._server, self._thread = start_http_server(self.port, "127.0.0.1", registry=REGISTRY)
        self.port = self._server.server_port
        threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._server.shutdown()
            self._server.server_close()

    def _work(self) -> None:
        LEADER.set(1)
        STORED_OBJECTS.labels("LLMInference").set(6)
        while not self._stopped.wait(0.2):
            RESYNC_TIME.set(time.time() // 600 * 600)
            QUEUE_LENGTH.set(1)
            PASSES.labels("done").inc()
            PASS_SECONDS.observe(0.04)
            REQUESTS.labels("patch", "Deployment", "200").inc()
