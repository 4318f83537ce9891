"""Questions that the model must answer as expected before anyone is let in: the right model, and not a damaged one."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from llmi_api.failure import FailureCode
from llmi_api.launch import VerifyQuestion
from llmi_server.errors import RequestError, StartupError

_SHOWN = 200


def verify(
    ask: Callable[[VerifyQuestion], Coroutine[Any, Any, str]],
    questions: Sequence[VerifyQuestion],
    *,
    by_beginning: bool = False,
) -> None:
    """Ask every question through the queue and the engine, as requests go. Must not run on an event loop.

    Args:
        ask: Returns the answer to a question, in brief.
        questions: What to ask, and the answers in brief.
        by_beginning: Whether an answer need only begin as it is expected.

    Raises:
        StartupError: An answer is another, or there is none.
    """
    for number, question in enumerate(questions):
        try:
            got = asyncio.run(ask(question))
        except RequestError as error:
            raise _failed(number, f"to {_shown(question.input)} cannot be had: {error.message}") from None
        wanted = _folded(question.expect)
        if not (_folded(got).startswith(wanted) if by_beginning else _folded(got) == wanted):
            raise _failed(
                number, f"to {_shown(question.input)} is {_shown(got)}, and {_shown(question.expect)} is expected."
            )


def _folded(answer: str) -> str:
    """Case and blanks are how a tokenizer writes, not what a model knows."""
    return " ".join(answer.split()).casefold()


def _shown(text: str) -> str:
    """Return a text as one line without control characters, cut where it is long."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def _failed(number: int, what: str) -> StartupError:
    return StartupError(
        FailureCode.VERIFY_FAILED,
        f"The answer {what}",
        next_step=f"Check that the model, its revision and the task are the ones you mean, or correct"
        f" spec.verify[{number}].",
    )
