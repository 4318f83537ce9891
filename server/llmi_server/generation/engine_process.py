"""The engine's process: ``python -m llmi_server.generation.engine_process FD``, started by the server only.

It has a main thread of its own for the model, so that neither HTTP nor tokenizers slow it down, and ends when the
server does: its connection is then at an end.
"""

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import NoReturn

from llmi_server.errors import StartupError
from llmi_server.generation.loading import load_engine
from llmi_server.generation.messages import (
    BytesExpected,
    BytesRead,
    Command,
    EngineSettings,
    Event,
    GaveUp,
    MemoryPredicted,
    PhaseBegins,
)
from llmi_server.logs import set_up_logs

GAVE_UP_STATUS = 70
"""Exit status after a failure that was told."""


def main() -> NoReturn:
    """Serve one connection, then end without tidying up."""
    status = run(Connection(int(sys.argv[1])))
    logging.shutdown()
    os._exit(status)


def run(connection: Connection) -> int:
    """Load the model that the first message names, answer until the connection ends, and return an exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the server decides when: it drains first
    settings: EngineSettings = connection.recv()
    set_up_logs(settings.log_level, settings.log_format)
    commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, commands), daemon=True).start()
    told = Told(connection)
    try:
        ready = load_engine(settings, watcher=told)
    except StartupError as error:
        told.send(GaveUp(error.failure))
        return GAVE_UP_STATUS
    from llmi_server.generation.engine_loop import EngineLoop  # noqa: PLC0415 - PyTorch, which loading has imported

    told.send(ready.loaded)
    EngineLoop(model=ready.way.model, scheduler=ready.scheduler, commands=commands, report=told.send).run()
    return 0


class Told:
    """Tells the server, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        """Tell something."""
        with self._lock:
            self._connection.send(event)

    def enter_phase(self, name: str) -> None:
        """Tell that a phase begins."""
        self.send(PhaseBegins(name))

    def predict(self, *, memory_bytes: int, by_precision: Mapping[str, int], weights: Mapping[str, int]) -> None:
        """Tell how much memory the model will take."""
        self.send(MemoryPredicted(memory_bytes, dict(by_precision), dict(weights)))

    def expect(self, total_bytes: int) -> None:
        """Tell how many bytes are to be read."""
        self.send(BytesExpected(total_bytes))

    def read(self, count: int) -> None:
        """Tell that bytes were read."""
        self.send(BytesRead(count))


def _receive(connection: Connection, commands: "queue.SimpleQueue[Command | None]") -> None:
    """Pass commands on; end the process when the server is gone, even in the middle of a step."""
    while True:
        try:
            commands.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


if __name__ == "__main__":
    main()
