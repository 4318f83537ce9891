"""The one JSON line that a container leaves for the operator when it ends."""

import contextlib
from pathlib import Path, PurePath

from pydantic import BaseModel

from llmi_api.launch import TERMINATION_MESSAGE_PATH


def leave_message(path: PurePath, message: BaseModel) -> None:
    """Write ``message`` as one JSON line to ``path`` if that can be written.

    The kubelet makes the default file, so where it is missing we are not in a pod and leave nothing behind.
    """
    target = Path(path)
    if path == TERMINATION_MESSAGE_PATH and not target.exists():
        return
    with contextlib.suppress(OSError):
        target.write_text(message.model_dump_json() + "\n")
