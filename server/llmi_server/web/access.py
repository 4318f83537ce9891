"""API keys from a mounted file, read anew when it changes."""

import hashlib
import hmac
import time
from pathlib import Path, PurePath

from llmi_server.errors import AccessDeniedError

EXEMPT_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that need no key: the kubelet and Prometheus have none."""

_RECHECK_SECONDS = 1.0


class ApiKeys:
    """The keys that open the server. Keys are kept as SHA-256 digests only.

    A file that disappears or becomes empty closes the server: no key is right then.
    """

    def __init__(self, path: PurePath) -> None:
        self._path = Path(path)
        self._checked = 0.0
        self._state: tuple[int, ...] = ()
        self._digests: list[bytes] = []

    def check(self, authorization: str | None) -> None:
        """Let a request with one of the keys pass.

        Raises:
            AccessDeniedError: The header is missing, is not ``Bearer <key>``, or the key is wrong.
        """
        self._refresh()
        scheme, _, key = (authorization or "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if scheme.lower() != "bearer" or not any(matches):
            raise AccessDeniedError("A valid API key is needed: Authorization: Bearer <key>.")

    def _refresh(self) -> None:
        if time.monotonic() - self._checked < _RECHECK_SECONDS:
            return
        self._checked = time.monotonic()
        try:
            status = self._path.stat()
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if state != self._state:
                self._digests = _digests(self._path.read_bytes())
                self._state = state
        except OSError:
            self._state, self._digests = (), []


def _digests(content: bytes) -> list[bytes]:
    keys = (line.strip() for line in content.splitlines())
    return [hashlib.sha256(key).digest() for key in keys if key]
