"""Request ids: the client's when it is sane, ours otherwise."""

import re
import uuid

_SANE = re.compile(r"[!-~]{1,128}")


def choose_request_id(offered: str | None) -> str:
    """Return ``offered`` if it is at most 128 printable ASCII characters without blanks, else a new id."""
    if offered is not None and _SANE.fullmatch(offered):
        return offered
    return uuid.uuid4().hex
