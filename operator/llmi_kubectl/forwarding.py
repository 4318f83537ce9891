"""A way to a Service that needs neither a route into the cluster nor a hole in its NetworkPolicies."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Sequence

from llmi_kubectl.errors import Exit, PluginError

OPEN_SECONDS = 20.0
CLOSE_SECONDS = 5.0
_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+)")


@contextlib.asynccontextmanager
async def forward(
    target: str, port: int, kubectl_flags: Sequence[str], *, patience: float = OPEN_SECONDS
) -> AsyncIterator[str]:
    """Let kubectl, which called us, forward a free port of the loopback to a pod or a service; gives the URL.

    Raises:
        PluginError: There is no kubectl, or it did not forward; the text has its words.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise PluginError("kubectl is not on PATH, and models are asked through kubectl port-forward: install it.")
    arguments = ("port-forward", target, f":{port}", "--address=127.0.0.1", *kubectl_flags)
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield f"http://127.0.0.1:{await _wait_for_port(process, patience)}"
    finally:
        _send(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.communicate(), CLOSE_SECONDS)
        except TimeoutError:
            _send(process, signal.SIGKILL)
            await process.communicate()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal past asyncio, which would fetch the end of a process that has just ended, and then miss it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def _wait_for_port(process: asyncio.subprocess.Process, patience: float) -> int:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    assert process.stderr is not None  # noqa: S101
    try:
        line = await asyncio.wait_for(process.stdout.readline(), patience)
    except TimeoutError:
        line = b""
    found = _FORWARDING.search(line)
    if found:
        return int(found[1])
    words = b""
    with contextlib.suppress(TimeoutError):
        words = await asyncio.wait_for(process.stderr.read(2000), 1)
    said = words.decode(errors="replace").strip() or f"nothing within {patience:.0f} s"
    raise PluginError(f"kubectl port-forward did not reach a replica ({said}).", Exit.NO_ANSWER)
