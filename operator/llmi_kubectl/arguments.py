"""The command line."""

import argparse
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from llmi_kubectl.errors import EXIT_MEANING

PROGRAM = "kubectl llminference"
DEFAULT_TAIL = 50
SHORTEST_SECONDS, LONGEST_SECONDS = 60, 3600
"""What was measured in less than a minute has no busiest one, and replicas look back no longer than an hour."""
_TIME = re.compile(r"([1-9]\d{0,4})([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Output(StrEnum):
    """Form of what is printed."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True)
class Arguments:
    """What was asked for; a command uses those that are its own."""

    command: str
    namespace: str | None
    context: str | None
    kubeconfig: str | None
    output: Output
    name: str = ""
    file: Path | None = None
    text: str | None = None
    api_key_file: Path | None = None
    tail: int = DEFAULT_TAIL
    follow: bool = False
    advise_after: int = LONGEST_SECONDS

    @property
    def kubectl_flags(self) -> tuple[str, ...]:
        """The same cluster and the same user, for a kubectl of our own; the namespace is not among them."""
        given = (("--context", self.context), ("--kubeconfig", self.kubeconfig))
        return tuple(f"{flag}={value}" for flag, value in given if value is not None)


def read_arguments(words: list[str]) -> Arguments:
    """Read the command line; exits with 2 and a usage line when it cannot be understood."""
    given: dict[str, Any] = vars(_make_parser().parse_args(words))
    return Arguments(**given)


def _make_parser() -> argparse.ArgumentParser:
    exits = "\n".join(f"  {int(code)}  {meaning}" for code, meaning in EXIT_MEANING.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="See how an LLMInference is doing, what a change would do, and whether the model answers.",
        epilog=f"exit statuses:\n{exits}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every = _make_common()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status", parents=[every], help="why it is as it is, replicas, start, addresses and events on one screen"
    )
    _add_name(status)
    status.add_argument(
        "--advise-after", type=_time, default=LONGEST_SECONDS, metavar="TIME",
        help="advise on its size once a replica has served for so long, 1m to 1h (1h)",
    )  # fmt: skip
    plan = commands.add_parser(
        "plan", parents=[every], help="what applying a file would make, change and restart, and whether there is room"
    )
    plan.add_argument("-f", "--file", type=Path, required=True, metavar="FILE", help="the LLMInference; - is stdin")
    ask = commands.add_parser("try", parents=[every], help="send one request that fits the task and show the answer")
    _add_name(ask)
    ask.add_argument("--text", help="text to send in place of an example")
    ask.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="file with an API key, where the model asks for one"
    )
    logs = commands.add_parser("logs", parents=[every], help="the latest lines of every replica's log")
    _add_name(logs)
    logs.add_argument("--tail", type=_positive, default=DEFAULT_TAIL, metavar="N", help="lines of each replica (50)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines come, until Ctrl-C")
    return parser


def _make_common() -> argparse.ArgumentParser:
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("-n", "--namespace", help="namespace; else the one of the kubeconfig's context")
    every.add_argument("--context", help="context of the kubeconfig")
    every.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig; else KUBECONFIG, else ~/.kube/config")
    every.add_argument(
        "-o", "--output", type=Output, choices=list(Output), default=Output.TEXT, metavar="text|json",
        help="json is for programs",
    )  # fmt: skip
    return every


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the LLMInference")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _time(text: str) -> int:
    read = _TIME.fullmatch(text)
    seconds = int(read[1]) * _UNITS[read[2]] if read else 0
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError("must be a time from 1m to 1h, such as 15m")
    return seconds
