"""Types of others, read from their own Go modules."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

import gobuild


def find_module_file(folder: str, module: str, file: str) -> Path:
    """Find a file of a module that a folder of hack/tools requires; fetched once and checked against go.sum."""
    argv = [gobuild.find_go(), "mod", "download", "-json", module]
    environment = {**os.environ, "GOFLAGS": "-mod=readonly"}
    place = gobuild.TOOLS_DIR / folder
    done = subprocess.run(argv, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return Path(json.loads(done.stdout)["Dir"]) / file


def read_module_file(folder: str, module: str, file: str) -> dict[str, Any]:
    """Read such a file that is YAML."""
    body: dict[str, Any] = yaml.safe_load(find_module_file(folder, module, file).read_text())
    return body
