"""Lets child processes of tests find the modules of tests/support, which only pytest knows where to find."""

import os
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1]


def with_own_modules(environment: dict[str, str]) -> dict[str, str]:
    """The environment with tests/support first on Python's path."""
    given = environment.get("PYTHONPATH")
    return environment | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *([given] if given else [])])}
