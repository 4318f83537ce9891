"""JSON read strictly: what a client cannot have meant is refused, not guessed."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from llmi_server.errors import InvalidRequestError

_MOST_VALUES = 50_000
"""A body of 2 MB can hold a million, each of which costs a kilobyte once something is found wrong with it."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(body: bytes) -> object:
    """Return the JSON document in ``body``.

    Raises:
        InvalidRequestError: It is not one JSON document in plain UTF-8, or holds a non-finite number, a key twice, half
            a surrogate pair, or nesting or a number of values beyond reason.
    """
    if not body.strip():
        raise InvalidRequestError("The body is empty; it must be a JSON object.")
    if body.startswith(b"\xef\xbb\xbf"):
        raise InvalidRequestError("The body begins with a byte order mark; send plain UTF-8.")
    try:
        document = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not valid UTF-8.") from None
    except RecursionError:
        raise InvalidRequestError("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"The body is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from None
    except ValueError:
        raise InvalidRequestError("The body holds a number that is too long.") from None
    if body.count(b",") > _MOST_VALUES:
        _refuse_countless(document)
    if _SURROGATE.search(body):
        _refuse_surrogates(document)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InvalidRequestError("An object in the body has the same key twice.")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidRequestError("The body holds a number that is too large.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequestError(f"The body holds {name}, which is not a JSON number.")


def _refuse_countless(document: object) -> None:
    for count, _ in enumerate(_values(document), start=1):
        if count > _MOST_VALUES:
            raise InvalidRequestError(f"The body holds more than {_MOST_VALUES} values.")


def _refuse_surrogates(document: object) -> None:
    for value in _values(document):
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise InvalidRequestError("A string in the body holds half a surrogate pair.") from None


def _values(document: object) -> Iterator[object]:
    """Go through everything in a document, keys included."""
    rest: list[object] = [document]
    while rest:
        value = rest.pop()
        yield value
        if isinstance(value, dict):
            rest += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            rest += value
