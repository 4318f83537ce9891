"""What was built and is kept: folders named by a hash of everything they were made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

KEY_LENGTH = 12


def cache_root() -> Path:
    """Tell the cache folder: ``LLMI_CACHE``, else ``llminference`` in the person's cache folder."""
    if own := os.environ.get("LLMI_CACHE"):
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "llminference"


def key_of(*inputs: Path | str) -> str:
    """Hash files, whole folders (names, modes and contents) and plain strings, in the given order."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            digest.update(f"text {item}\0".encode())
            continue
        for path in _files(item):
            name = path.relative_to(item.parent)
            digest.update(f"file {name} {path.stat().st_mode & 0o111:o}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:KEY_LENGTH]


def _files(item: Path) -> Iterable[Path]:
    if item.is_file():
        return [item]
    return sorted(p for p in item.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


@dataclass(frozen=True)
class Artifact:
    """A folder in the cache that is either complete or absent."""

    name: str
    key: str

    @property
    def path(self) -> Path:
        """Where it lies when it is complete."""
        return cache_root() / f"{self.name}-{self.key}"

    def is_built(self) -> bool:
        """Tell whether it is there; it only ever appears as a whole."""
        return self.path.is_dir()

    def build(self, make: Callable[[Path], None]) -> None:
        """Fill a scratch folder, then give it its name at once; older versions of it go away."""
        with locked(self.name):
            if not self.is_built():  # another process may have built it while we waited
                self._build(make)

    def _build(self, make: Callable[[Path], None]) -> None:
        scratch = cache_root() / f"{self.name}.part"
        remove_tree(scratch)
        scratch.mkdir(parents=True)
        make(scratch)
        scratch.rename(self.path)
        for old in cache_root().glob(f"{self.name}-*"):
            if old != self.path and len(old.name) == len(self.path.name):
                remove_tree(old)


@contextlib.contextmanager
def locked(what: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let only one process or thread at a time do something; others wait, after ``on_wait``."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / f"{what}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_cache() -> None:
    """Remove all that was built; only our own folders, and the lock files."""
    for item in cache_root().iterdir() if cache_root().exists() else ():
        if item.is_dir():
            remove_tree(item)
        elif item.suffix == ".lock":
            item.unlink()
    with contextlib.suppress(OSError):  # something of somebody else's is in it
        cache_root().rmdir()


def remove_tree(path: Path) -> None:
    """Remove a folder that may be absent, but never through something that is still mounted in it."""
    mounts = Path("/proc/self/mounts")
    if mounts.exists() and any(
        line.split()[1].startswith(f"{path}/") for line in mounts.read_text().splitlines() if " " in line
    ):
        message = f"{path} still has something mounted inside; unmount it first"
        raise OSError(message)
    if path.exists():
        shutil.rmtree(path)
