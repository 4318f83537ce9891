"""A cache of models on a volume that outlives pods: one folder for each commit, shared by all that mount it."""

import shutil
import uuid
from pathlib import Path

from llmi_server.model.marker import MARKER_NAME, Marker, read_marker, write_marker

_SEPARATOR = "@"
"""Stands for the slash of a repository's name; no name has it."""


def cache_folder(cache: Path, model_id: str, commit: str) -> Path:
    """Return the folder of one commit of a model."""
    return cache / model_id.replace("/", _SEPARATOR) / commit


def find_complete(folder: Path, model_id: str, commit: str) -> Marker | None:
    """Return the folder's marker if it is for this commit and its files are there."""
    marker = read_marker(folder)
    if marker is None or (marker.model_id, marker.revision) != (model_id, commit):
        return None
    return marker if is_complete(folder, marker) else None


def is_complete(folder: Path, marker: Marker) -> bool:
    """Say whether every file that the marker names is there with its size."""
    return all(
        (folder / file.name).is_file() and (folder / file.name).stat().st_size == file.size for file in marker.files
    )


def link_files(folder: Path, into: Path, marker: Marker) -> None:
    """Make ``into`` lead to the files of ``folder``; what an earlier fetch left there goes."""
    clear(into, read_marker(into), {file.name for file in marker.files})
    for file in marker.files:
        link = into / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        scratch = link.with_name(f".{uuid.uuid4().hex}")
        scratch.symlink_to((folder / file.name).absolute())
        scratch.replace(link)
    write_marker(into, marker)


def clear(folder: Path, old: Marker | None, names: set[str]) -> None:
    """Take the old marker away first, then files of the old commit that the new one lacks."""
    (folder / MARKER_NAME).unlink(missing_ok=True)
    for file in old.files if old else ():
        if file.name not in names:
            (folder / file.name).unlink(missing_ok=True)


def others_in(cache: Path, own: Path) -> str:
    """Name what else a cache holds, for people who look for room: the largest first."""
    sizes = {folder: _size(folder) for folder in cache.glob("*/*") if folder.is_dir() and folder != own}
    largest = sorted(sizes, key=lambda folder: -sizes[folder])[:3]
    return ", ".join(f"{folder.relative_to(cache)} ({sizes[folder] >> 20} MiB)" for folder in largest)


def free_bytes(folder: Path) -> int:
    """Return how much may still be written there."""
    return shutil.disk_usage(folder).free


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
