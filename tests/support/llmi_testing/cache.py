"""Where models that tests and demos need are kept between runs."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_DONE = ".complete"


def model_cache() -> Path:
    """Folder for made and downloaded models; ``LLMI_CACHE`` moves it."""
    root = os.environ.get("LLMI_CACHE")
    if root is None:
        root = str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llminference")
    return Path(root) / "models"


def cached_model(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cached folder ``name``, calling ``make`` with an empty folder when it is not there yet.

    Safe when several processes ask at once: one makes it, the others wait.
    """
    target = model_cache() / name
    if (target / _DONE).exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.parent / f".{name}.lock"):
        if (target / _DONE).exists():
            return target
        shutil.rmtree(target, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=target.parent))
        try:
            make(scratch)
            _let_everyone_read(scratch)
            (scratch / _DONE).touch()
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _let_everyone_read(folder: Path) -> None:
    """Pods read these files as another user; some writers leave them private."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def copy_model(source: Path, target: Path) -> None:
    """Copy a cached model to ``target``, by hard links where the file system allows."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        source, target, copy_function=_link_or_copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_DONE)
    )


def _link_or_copy(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
