"""Files of JSON objects, one a line, which another process goes on writing."""

import json
from pathlib import Path
from typing import Any


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Every object that is there as a whole: the last line may be in the middle of being written."""
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.split("\n") if line.startswith("{")]
