"""The command ``llmi-operator``: read settings, set up logging, run."""

import asyncio
import difflib
import logging
import os
import sys
import threading
from enum import IntEnum
from importlib.metadata import version

import kopf

from llmi_operator import handlers
from llmi_operator.errors import SettingsError
from llmi_operator.logs import set_up_logging
from llmi_operator.settings import OperatorSettings
from llmi_operator.startup import Context, find_watched

logger = logging.getLogger("llmi_operator")
HARD_EXIT_SECONDS = 20.0


class Exit(IntEnum):
    """Exit statuses of the operator."""

    STOPPED = 0
    FAILED = 1
    BAD_SETTINGS = 2
    HUNG = 4


EXIT_MEANING = {
    Exit.STOPPED: "It was asked to stop, and did.",
    Exit.FAILED: "It could not go on; the last lines of its log say why. Kubernetes starts it anew.",
    Exit.BAD_SETTINGS: "A setting is unknown or unusable; the message names it.",
    Exit.HUNG: f"It had not stopped {HARD_EXIT_SECONDS:.0f} s after it was asked to, so it ended itself.",
}


def main() -> None:
    """Run the operator until it is told to stop."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{version('llminference')}\n")
        return
    if sys.argv[1:] == ["--help"]:
        sys.stdout.write(f"llmi-operator [--version | --help]\n\n{OperatorSettings.describe()}\n")
        return
    try:
        _refuse_arguments(sys.argv[1:])
        settings = OperatorSettings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"llmi-operator: {error}\n")
        sys.exit(Exit.BAD_SETTINGS)
    set_up_logging(settings.log_level, settings.log_format)
    sys.exit(asyncio.run(run(settings)))


async def run(settings: OperatorSettings) -> Exit:
    """Run kopf with our handlers until a signal or a fault."""
    context = Context(settings=settings, stop=asyncio.Event())
    registry = kopf.OperatorRegistry()
    hard_exit = asyncio.create_task(_exit_hard_after(context.stop))
    try:
        handlers.register(registry, await find_watched(settings))
        await kopf.operator(
            registry=registry,
            settings=kopf.OperatorSettings(),
            memo=context,
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=context.stop,
        )
    except Exception:
        logger.exception("The operator failed")
        return Exit.FAILED
    finally:
        hard_exit.cancel()
    # kopf also returns when one of its watchers died.
    return Exit.STOPPED if context.stop.is_set() and not context.failed else Exit.FAILED


def _refuse_arguments(arguments: list[str]) -> None:
    if arguments:
        nearest = difflib.get_close_matches(arguments[0], ["--version", "--help"], n=1, cutoff=0)[0]
        raise SettingsError(
            f"{arguments[0]} is not an argument of llmi-operator: did you mean {nearest}? "
            "Its settings are environment variables."
        )


async def _exit_hard_after(stop: asyncio.Event) -> None:
    """End the process even if kopf hangs on its way out; kopf's own timer knows only signals."""
    await stop.wait()
    timer = threading.Timer(HARD_EXIT_SECONDS, os._exit, args=(Exit.HUNG,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
