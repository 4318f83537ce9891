"""A model's template for conversations, rendered in a sandbox.

Nothing here bounds time and memory for good: one step of a template may multiply texts within a single call of C code.
So it runs in a process of its own, see ``template_process``; this module imports nothing that makes that one large.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.runtime
import jinja2.sandbox

_LONGEST_TEMPLATE = 1_000_000
_SPARE_CHARACTERS = 1_000_000
"""How much longer than the messages a rendered conversation may be."""

_LARGEST_PRODUCT = 100_000


class TemplateRefusedError(Exception):
    """A template does not take a conversation, and why."""


class TemplateTooCostlyError(Exception):
    """A template would make too large a thing."""


class ChatTemplate:
    """Renders conversations as Transformers does: same sandbox, same filters, same whitespace; and within bounds.

    The template comes with the model and is not trusted: it has no files, no network and no Python objects, and its
    text is bounded.
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
            TemplateRefusedError: It refuses the conversation, fails on it, or makes too much of it.
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
            return _joined(self._template.generate(fields), room)
        except jinja2.exceptions.SecurityError:
            raise TemplateRefusedError("it does what a template must not do") from None
        except jinja2.TemplateError as error:
            raise TemplateRefusedError(str(error)[:200]) from None
        except TemplateTooCostlyError as error:
            raise TemplateRefusedError(str(error)) from None
        except MemoryError:
            raise TemplateRefusedError("it needs too much memory") from None
        except (TypeError, ValueError, KeyError, IndexError, ArithmeticError, AttributeError, RecursionError) as error:
            raise TemplateRefusedError(f"{type(error).__name__}: {str(error)[:200]}") from None


def _joined(pieces: Iterable[str], room: int) -> str:
    result = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            raise TemplateTooCostlyError("it makes too long a text of it")
        result.append(piece)
    return "".join(result)


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
