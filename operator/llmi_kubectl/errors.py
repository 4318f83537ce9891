"""Errors of the plugin: a sentence for the user, and the exit status that goes with it.

PluginError
├── RefusedError    the API server does not allow it
└── AbsentError     what was asked for does not exist
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of the plugin."""

    DONE = 0
    FAILED = 1
    BAD_USAGE = 2
    INVALID = 3
    NO_ANSWER = 4


EXIT_MEANING = {
    Exit.DONE: "It did what it was asked.",
    Exit.FAILED: "The cluster could not be reached, refused, or does not have what was named.",
    Exit.BAD_USAGE: "The command line or the file cannot be used.",
    Exit.INVALID: "plan: the file breaks a rule; the cluster would refuse it.",
    Exit.NO_ANSWER: "try: the model did not answer, or answered with an error.",
}


class PluginError(Exception):
    """Something that a user has to know; the text is a sentence."""

    def __init__(self, sentence: str, exit_status: Exit = Exit.FAILED) -> None:
        self.exit_status = exit_status
        super().__init__(sentence)


class RefusedError(PluginError):
    """The API server does not allow it to whoever asks."""


class AbsentError(PluginError):
    """What was asked for does not exist."""
