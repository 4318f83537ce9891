"""``llmi-server serve``, ``llmi-server fetch`` and ``llmi-server triton``."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from types import FrameType
from typing import NoReturn

from pydantic import BaseModel

from llmi_api.failure import EXIT_CODES, Failure, FailureCode
from llmi_api.launch import TERMINATION_MESSAGE_PATH, LogLevel
from llmi_server.errors import StartupError
from llmi_server.logs import failing, set_up_logs
from llmi_server.settings import (
    FetchSettings,
    LogFormat,
    ServeSettings,
    TritonSettings,
    describe_settings,
    read_settings,
)
from llmi_server.termination import leave_message

_USAGE = """\
Usage: llmi-server serve [--SETTING VALUE ...]    load a model from a folder and answer requests
       llmi-server fetch [--SETTING VALUE ...]    download a model from a hub into a folder
       llmi-server triton [--SETTING VALUE ...]   run Triton on a model, and watch over it

Every setting is an environment variable too.
"""


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    status = run(sys.argv[1:], os.environ)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # an engine thread may be deep in a batch; nothing is left to tidy up


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command and return its exit status."""
    commands = {"serve": _serve, "fetch": _fetch, "triton": _triton}
    if not arguments or arguments[0] in ("-h", "--help", "help") or "--help" in arguments[1:]:
        sys.stdout.write(_help(arguments))
        return 0
    set_up_logs(LogLevel.INFO, LogFormat.AUTO)
    path = PurePosixPath(environment.get("LLMI_TERMINATION_MESSAGE_PATH") or TERMINATION_MESSAGE_PATH)
    command = commands.get(arguments[0])
    if command is None:
        return _give_up(_unknown_command(arguments[0]), path)
    try:
        return command(arguments[1:], environment)
    except StartupError as error:
        return _give_up(error.failure, path)


def _serve(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    settings = read_settings(ServeSettings, arguments, environment)
    set_up_logs(settings.log_level, settings.log_format)
    os.environ.update(_OFFLINE)
    from llmi_server.serving import serve  # noqa: PLC0415 - fetch starts without the web framework

    return _reporting(lambda: serve(settings), settings.termination_message_path)


def _fetch(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    settings = read_settings(FetchSettings, arguments, environment)
    set_up_logs(settings.log_level, settings.log_format)
    from llmi_server.model.fetch import fetch  # noqa: PLC0415 - serve starts without it

    def fetch_and_report() -> None:
        leave_message(settings.termination_message_path, fetch(settings))

    signal.signal(signal.SIGTERM, _end)
    return _reporting(fetch_and_report, settings.termination_message_path)


def _triton(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    settings = read_settings(TritonSettings, arguments, environment)
    set_up_logs(settings.log_level, settings.log_format)
    from llmi_server.triton.watch import serve  # noqa: PLC0415 - only here

    return _reporting(lambda: serve(settings), settings.termination_message_path)


def _end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signal module's signature
    """End as a signal does by default, which the kernel spares the first process of a container."""
    raise SystemExit(128 + number)


_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""A server never calls out, whatever a library would like."""


def _reporting(command: Callable[[], None], path: PurePosixPath) -> int:
    try:
        command()
    except StartupError as error:
        return _give_up(error.failure, path)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _give_up(failure: Failure, path: PurePosixPath) -> int:
    leave_message(path, failure)
    logging.getLogger(__name__).error("Gave up", extra=failing(failure))
    return EXIT_CODES[failure.code]


def _help(arguments: Sequence[str]) -> str:
    kinds: dict[str, type[BaseModel]] = {"serve": ServeSettings, "fetch": FetchSettings, "triton": TritonSettings}
    wanted = [name for name in kinds if name in arguments[:1]] or list(kinds)
    return _USAGE + "".join(f"\nSettings of {name}:\n{describe_settings(kinds[name])}\n" for name in wanted)


def _unknown_command(name: str) -> Failure:
    message = f"{name[:100]} is not a command; the commands are serve, fetch and triton."
    return Failure(code=FailureCode.INVALID_SETTINGS, message=message, next="Run llmi-server --help.")


if __name__ == "__main__":
    main()
