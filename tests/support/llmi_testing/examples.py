"""Many random examples of one property, fast, with a small failing one in the end.

Hypothesis draws every choice by itself, which costs a hundred times what our pure functions cost. Here one seed makes
all examples; a failure names the seed and shows the smallest spec that fails in the same way.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from random import Random

from llmi_testing.specs import Json, generate, shrink

SEED = "LLMI_TEST_SEED"
NEW = "new"


def draws_anew() -> bool:
    """Whether a test is to draw other examples each time."""
    return os.environ.get(SEED) == NEW


def choose_seed() -> int:
    """The seed of a test, the one in ``LLMI_TEST_SEED``: where it is ``new``, as in ``make soak``, one of its own.

    Otherwise always the same: what a change is judged by must not depend on luck.
    """
    return secrets.randbelow(2**32) if draws_anew() else int(os.environ.get(SEED) or "1")


def for_all_specs(holds: Callable[[Json, Random], None], count: int) -> None:
    """Call with so many valid specs, each with randomness of its own for whatever else is needed."""
    seed = choose_seed()
    random = Random(seed)
    for number in range(count):
        spec, own = generate(random), random.randrange(2**32)
        error = _failure(holds, spec, own)
        if error is not None:
            raise AssertionError(
                f"example {number} of {SEED}={seed} fails; {_explain(holds, spec, own, error)}"
            ) from error


def _explain(holds: Callable[[Json, Random], None], spec: Json, own: int, error: Exception) -> str:
    smallest = shrink(spec, lambda smaller: type(_failure(holds, smaller, own)) is type(error))
    last = _failure(holds, smallest, own) or error
    return f"the smallest that does is {json.dumps(smallest)}: {type(last).__name__}: {last}"


def _failure(holds: Callable[[Json, Random], None], spec: Json, own: int) -> Exception | None:
    try:
        holds(spec, Random(own))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is about
        return error
    return None
