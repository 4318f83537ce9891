"""Files of others, read from their own Go modules."""

from pathlib import Path
from typing import Any

import yaml

import gobuild


def find_module_file(folder: str, module: str, file: str) -> Path:
    """Find a file of a module that a folder of hack/tools requires; fetched once and checked against go.sum."""
    return gobuild.find_module(gobuild.TOOLS_DIR / folder, module) / file


def read_module_file(folder: str, module: str, file: str) -> dict[str, Any]:
    """Read a YAML file of such a module."""
    body: dict[str, Any] = yaml.safe_load(find_module_file(folder, module, file).read_text())
    return body
