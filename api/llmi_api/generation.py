"""Files that are made from code: one table of targets and the functions that write their text."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Generators = Mapping[Path, Callable[[], str]]
"""The text of each file, by its path from the repository's root."""


def run(generators: Generators, description: str | None) -> None:
    """Write every file, or with ``--check`` exit with 1 and name those that are out of date."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is out of date")
    if parser.parse_args().check:
        if stale := find_stale(generators):
            names = ", ".join(str(path) for path in stale)
            sys.exit(f"{names}: not what the code says. Run `make generate` and commit the result.")
        return
    for path, text in generators.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text())


def find_stale(generators: Generators) -> list[Path]:
    """List the files that are missing or differ from what would be written."""
    return [path for path, text in generators.items() if not path.exists() or path.read_text() != text()]
