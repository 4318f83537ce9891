"""The command ``kubectl-llminference``, which kubectl finds on PATH as ``kubectl llminference``."""

import asyncio
import os
import sys
from datetime import UTC, datetime

from rich.console import Console

from llmi_kubectl.arguments import Arguments, Output, read_arguments
from llmi_kubectl.client import Client
from llmi_kubectl.commands import Call, Result, show_logs, show_plan, show_status, try_model
from llmi_kubectl.errors import Exit, PluginError
from llmi_kubectl.rendering import print_parts, to_json

_SHOWING = {"status": show_status, "plan": show_plan, "try": try_model}
INTERRUPTED = 130


def main() -> None:
    """Do what was asked; an error is one sentence and an exit status."""
    arguments = read_arguments(sys.argv[1:])
    try:
        asyncio.run(run(arguments))
    except PluginError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read has seen enough; nothing may be flushed at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(Exit.DONE)


async def run(arguments: Arguments) -> None:
    """Connect, run the command, print what it came to."""
    client = await Client.connect(arguments.kubeconfig, arguments.context)
    call = Call(client, arguments, now=lambda: datetime.now(UTC), write=_write_line)
    try:
        if arguments.command == "logs":
            await show_logs(call)
        else:
            _print(arguments.output, await _SHOWING[arguments.command](call))
    finally:
        await client.close()


def _print(output: Output, result: Result) -> None:
    if output is Output.JSON:
        _write_line(to_json(result.data))
    else:
        print_parts(Console(highlight=False), result.parts)


def _write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
