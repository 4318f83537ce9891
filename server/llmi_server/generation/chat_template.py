"""A model's template for conversations, rendered in a sandbox and within bounds."""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import FrameType
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.runtime
import jinja2.sandbox

from llmi_server.errors import InvalidRequestError

_LONGEST_TEMPLATE = 1_000_000
_SLOWEST_SECONDS = 2.0
_SPARE_CHARACTERS = 1_000_000
"""How much longer than the messages a rendered conversation may be."""

_LARGEST_PRODUCT = 100_000


class TemplateTooCostlyError(Exception):
    """A template computed for too long, or made too long a text."""


class ChatTemplate:
    """Renders conversations as Transformers does: same sandbox, same filters, same whitespace; and within bounds.

    The template comes with the model and is not trusted: it has no files, no network and no Python objects, and what it
    computes is bounded in time and size.
    """

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """Compile a template.

        Raises:
            ValueError: It is not a template.
        """
        if len(source) > _LONGEST_TEMPLATE:
            msg = f"it has more than {_LONGEST_TEMPLATE} characters"
            raise ValueError(msg)
        self._special = dict(special)
        try:
            self._template = _environment().from_string(source)
        except (jinja2.TemplateError, RecursionError, MemoryError) as error:
            raise ValueError(str(error)[:200]) from None

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the prompt for a conversation, up to where the assistant speaks next.

        Raises:
            InvalidRequestError: The template refuses the conversation, or cannot be rendered within bounds.
        """
        room = _SPARE_CHARACTERS + 2 * sum(len(message["content"]) for message in messages)
        fields = {
            "messages": [dict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
            **self._special,
        }
        try:
            with _Deadline(_SLOWEST_SECONDS):
                return _joined(self._template.generate(fields), room)
        except jinja2.exceptions.SecurityError:
            raise _refused("it does what a template must not do") from None
        except jinja2.TemplateError as error:
            raise _refused(str(error)[:200]) from None
        except TemplateTooCostlyError as error:
            raise _refused(str(error)) from None
        except (TypeError, ValueError, KeyError, IndexError, ArithmeticError, AttributeError, RecursionError) as error:
            raise _refused(f"{type(error).__name__}: {str(error)[:200]}") from None


def _refused(reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The model's chat template does not take this conversation: {reason}.", param="messages"
    )


def _joined(pieces: Iterable[str], room: int) -> str:
    result = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            raise TemplateTooCostlyError("it makes too long a text of it")
        result.append(piece)
    return "".join(result)


class _Deadline:
    """Ends Python code of this thread that runs for too long, at its next line."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0
        self._before: Any = None

    def __enter__(self) -> None:
        self._end = time.monotonic() + self._seconds
        self._before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:  # noqa: ANN401, ARG002 - Python's signature
        if time.monotonic() > self._end:
            sys.settrace(None)
            raise TemplateTooCostlyError("it takes too long")
        return self._trace


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Refuses products and powers of which a few make gigabytes."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - Jinja's signature
        """Compute an operation if its result is small."""
        if operator == "**" and isinstance(right, int) and abs(right) > 64:  # noqa: PLR2004 - no power needs more
            raise TemplateTooCostlyError("it computes too large a power")
        if operator == "*" and not all(isinstance(side, (int, float)) for side in (left, right)):
            texts = [len(side) for side in (left, right) if isinstance(side, (str, list, tuple, bytes))]
            counts = [side for side in (left, right) if isinstance(side, int)]
            if texts and counts and texts[0] * counts[0] > _LARGEST_PRODUCT:
                raise TemplateTooCostlyError("it repeats a text too often")
        if operator == "%" and isinstance(left, str):
            raise TemplateTooCostlyError("it formats a text in an old way")
        return super().call_binop(context, operator, left, right)


class _Generation(jinja2.ext.Extension):
    """The block that marks what the assistant said, which matters for training only."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja has it

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """Return the block's content."""
        next(parser.stream)
        return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def _environment() -> _Sandbox:
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.filters.pop("center", None)
    environment.filters.pop("format", None)
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    environment.globals.pop("lipsum", None)
    return environment


def _to_json(value: object, **options: Any) -> str:  # noqa: ANN401 - indent, separators, sort_keys
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)  # noqa: DTZ005 - as Transformers has it
