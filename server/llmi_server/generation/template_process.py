"""The template's process: ``python -m llmi_server.generation.template_process FD``, started by the server only.

The kernel bounds what a template may take: memory by the size of the address space, time by a timer of processor time
that ends the process. It ends when the server does: its connection is then at an end.
"""

import contextlib
import json
import resource
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from llmi_server.generation.chat_template import ChatTemplate, TemplateRefusedError

CPU_SECONDS = 2.0
_SPARE_BYTES = 512 << 20
"""What a template may allocate."""


def main() -> None:
    """Serve one connection."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the server decides when
    connection = Connection(int(sys.argv[1]))
    _bound_memory()
    source, special = json.loads(connection.recv_bytes())
    with contextlib.suppress(EOFError, OSError):
        _serve(connection, source, special)


def _serve(connection: Connection, source: str, special: dict[str, str]) -> None:
    try:
        with _BoundedTime():
            template = ChatTemplate(source, special)
    except ValueError as error:
        _tell(connection, refused=str(error))
        return
    _tell(connection, text="")
    while True:
        messages = json.loads(connection.recv_bytes())
        try:
            with _BoundedTime():
                text = template.render(messages)
        except TemplateRefusedError as error:
            _tell(connection, refused=str(error))
        else:
            _tell(connection, text=text)


def _tell(connection: Connection, **answer: str) -> None:
    connection.send_bytes(json.dumps(answer).encode())


class _BoundedTime:
    """Ends the process when the block takes too much processor time, even within one call of C code."""

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _bound_memory() -> None:
    """Bound the address space, where the system can."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + _SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
