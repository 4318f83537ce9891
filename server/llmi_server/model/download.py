"""One file, onto disk: resumed where it broke off, verified, and in place only when whole."""

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.model.hub import Hub, RemoteFile, RetryableError
from llmi_server.model.marker import FetchedFile
from llmi_server.model.progress import Progress
from llmi_server.model.retrying import Retrying

_BLOCK_BYTES = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(kw_only=True)
class Download:
    """Fetches one file of a repository into a folder.

    Attributes:
        hub: Where from.
        commit: Of which commit.
        folder: Where to.
        file: What.
        retrying: How often to try.
        progress: Told of every byte.
    """

    hub: Hub
    commit: str
    folder: Path
    file: RemoteFile
    retrying: Retrying
    progress: Progress

    def run(self) -> FetchedFile:
        """Fetch and verify the file.

        Raises:
            StartupError: It cannot be had, does not match its hash, or does not fit.
        """
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self.progress.found(self._have())
        algorithm, expected = _expectation(self.file)
        digest = self._fetched_digest(algorithm)
        if expected is not None and digest != expected:
            self._start_over()  # a part from an earlier run may be to blame, so try once from the beginning
            digest = self._fetched_digest(algorithm)
        if expected is not None and digest != expected:
            self._start_over()
            raise _mismatch(self.file.name, expected, digest)
        size = self._have()
        self._part.replace(self.folder / self.file.name)
        return FetchedFile(name=self.file.name, size=size, algorithm=algorithm, digest=digest)

    @property
    def _part(self) -> Path:
        return self.folder / (self.file.name + ".part")

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _fetched_digest(self, algorithm: str) -> str:
        self.retrying.call(self._attempt, progress=self._have)
        return digest_of(self._part, algorithm)

    def _attempt(self) -> None:
        """Add bytes to the part until it is whole."""
        size = self.file.size
        if size is not None and self._have() > size:
            self._start_over()
        have = self._have()
        if self._part.exists() and have == size:
            return
        with self.hub.open_file(self.file.name, self.commit, offset=have) as (resumed, blocks):
            if not resumed:
                self._start_over()
            self._append(blocks)
        if size is not None and self._have() != size:
            raise RetryableError(f"{self.file.name} broke off after {self._have()} of {size} bytes.")

    def _append(self, blocks: Iterator[bytes]) -> None:
        try:
            with self._part.open("ab") as handle:
                for block in blocks:
                    if self.retrying.stopped.is_set():
                        raise RetryableError("The fetch was stopped.")
                    handle.write(block)
                    self.progress.received(len(block))
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise _disk_filled(self.file.name) from None
            raise

    def _start_over(self) -> None:
        self.progress.dropped(self._have())
        self._part.unlink(missing_ok=True)


def digest_of(path: Path, algorithm: str) -> str:
    """Return the hash of a file: ``sha256``, or ``git-sha1`` as Git names blobs."""
    known: _Hash
    if algorithm == "sha256":
        known = hashlib.sha256()
    else:
        known = hashlib.sha1(usedforsecurity=False)
        known.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK_BYTES):
            known.update(block)
    return known.hexdigest()


def _expectation(file: RemoteFile) -> tuple[str, str | None]:
    """Return the algorithm and the hash that the hub gave; a mirror may give none."""
    if file.sha256 is None and file.git_sha1 is not None:
        return "git-sha1", file.git_sha1
    return "sha256", file.sha256


def _mismatch(name: str, expected: str, digest: str) -> StartupError:
    return StartupError(
        FailureCode.HASH_MISMATCH,
        f"{name} does not match its hash: the hub says {expected[:12]}…, the bytes are {digest[:12]}….",
        next_step="A proxy or mirror may damage files; check it, or set spec.model.endpoint to another.",
    )


def _disk_filled(name: str) -> StartupError:
    return StartupError(
        FailureCode.DISK_FULL,
        f"The disk filled up while {name} was written.",
        next_step="Give the model's volume more room, or raise the ephemeral-storage limit.",
    )
