"""Failures that a person can meet, each with a sentence, a remedy and an exit code of its own.

Exit codes: 2 wrong use, 3 no usable Docker, 4 a build step failed, 5 the cluster is not healthy,
6 refused or not allowed, 7 a tool is missing, 8 the egress lock is missing, 130 interrupted.
"""

from __future__ import annotations

from pathlib import Path


class Problem(Exception):  # noqa: N818  (it is told to people, not handled as an error of a caller)
    """Something a person has to know: what is wrong and where, and what to do about it."""

    exit_code = 4

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        """Give both sentences."""
        return f"{self.what}\n  What to do: {self.remedy}" if self.remedy else self.what


class NoDocker(Problem):
    """No Docker answers and none may or can be started."""

    exit_code = 3


class Unhealthy(Problem):
    """There is a cluster, but it does not work, or there is none where one is needed."""

    exit_code = 5


class Refused(Problem):
    """The person said no, or the request is not allowed here."""

    exit_code = 6


class MissingTool(Problem):
    """A program that cannot be made from package registries is absent."""

    exit_code = 7


class Unlocked(Problem):
    """The cluster's network could leave the machine although it must not."""

    exit_code = 8


class CommandFailed(Problem):
    """A command that was run for somebody ended with an error."""

    def __init__(self, argv: list[str], code: int, output: str = "", log: Path | None = None) -> None:
        shown = " ".join(argv[:6]) + (" …" if len(argv) > 6 else "")  # noqa: PLR2004
        text = f"`{shown}` ended with {code}."
        if output.strip():
            text += "\n" + output.strip()
        super().__init__(text, f"read the whole output in {log}" if log else "")
        self.code = code
        self.output = output
