"""The fetch command: a model's files from a hub into a folder, verified, or a reason why not."""

import logging
import os
import shutil
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from llmi_api.failure import FailureCode, FetchReport
from llmi_server.errors import StartupError
from llmi_server.logs import facts
from llmi_server.model.download import Download, digest_of
from llmi_server.model.hub import DEFAULT_ENDPOINT, DEFAULT_REVISION, Hub, RemoteFile, Repository, read_token
from llmi_server.model.marker import MARKER_NAME, FetchedFile, Marker, read_marker, write_marker
from llmi_server.model.progress import Progress, shown
from llmi_server.model.retrying import Retrying
from llmi_server.model.selection import select_files
from llmi_server.settings import FetchSettings

_MIB = 1 << 20


def fetch(settings: FetchSettings) -> FetchReport:
    """Bring the folder to the wanted commit.

    Files that are there already and match are kept, broken-off ones are resumed.

    Raises:
        StartupError: The model cannot be had, and why.
    """
    began = time.monotonic()
    folder = _writable_folder(Path(settings.model_dir))
    marker = read_marker(folder)
    if marker is not None and _is_wanted(marker, settings) and _is_complete(folder, marker):
        _log().info("Model is already there", extra=facts(model=marker.model_id, revision=marker.revision))
        return _report(marker, began)
    token = read_token(Path(settings.hub_token_file)) if settings.hub_token_file else None
    hub = Hub(
        endpoint=settings.hub_endpoint or DEFAULT_ENDPOINT,
        model_id=settings.model_id,
        token=token,
        timeout_seconds=settings.timeout_seconds,
    )
    try:
        marker = _bring_up_to_date(hub, folder, marker, settings)
    finally:
        hub.close()
    return _report(marker, began)


def _bring_up_to_date(hub: Hub, folder: Path, old: Marker | None, settings: FetchSettings) -> Marker:
    retrying = Retrying(attempts=settings.attempts, first_wait_seconds=settings.retry_seconds)
    revision = settings.model_revision or DEFAULT_REVISION
    repository = retrying.call(lambda: hub.describe(revision))
    same = old is not None and (old.model_id, old.revision) == (settings.model_id, repository.commit)
    if old is not None and same and _is_complete(folder, old):
        _log().info("Model is already there", extra=facts(model=old.model_id, revision=old.revision))
        return old
    names = set(select_files(file.name for file in repository.files))
    wanted = [file for file in repository.files if file.name in names]
    kept = _kept_files(folder, wanted)
    _clear(folder, old, names)
    fetched = _download(hub, folder, repository, [file for file in wanted if file.name not in kept],
                        retrying=retrying, connections=settings.connections)  # fmt: skip
    files = sorted([*kept.values(), *fetched], key=lambda file: file.name)
    marker = Marker(model_id=settings.model_id, revision=repository.commit, files=tuple(files))
    write_marker(folder, marker)
    return marker


def _is_wanted(marker: Marker, settings: FetchSettings) -> bool:
    """Say whether the marker answers the request without asking the hub: a commit never changes."""
    return marker.model_id == settings.model_id and marker.revision == settings.model_revision


def _is_complete(folder: Path, marker: Marker) -> bool:
    return all(
        (folder / file.name).is_file() and (folder / file.name).stat().st_size == file.size for file in marker.files
    )


def _kept_files(folder: Path, wanted: list[RemoteFile]) -> dict[str, FetchedFile]:
    """Return the wanted files that are in place and match their hashes, from an earlier or broken-off fetch."""
    kept = {}
    for file in wanted:
        path, algorithm = folder / file.name, "sha256" if file.sha256 else "git-sha1"
        expected = file.sha256 or file.git_sha1
        if expected is None or not path.is_file() or path.stat().st_size != file.size:
            continue
        if digest_of(path, algorithm) == expected:
            kept[file.name] = FetchedFile(name=file.name, size=file.size, algorithm=algorithm, digest=expected)
    return kept


def _clear(folder: Path, old: Marker | None, names: set[str]) -> None:
    """Take the old marker away first, then files of the old commit that the new one lacks."""
    (folder / MARKER_NAME).unlink(missing_ok=True)
    for file in old.files if old else ():
        if file.name not in names:
            (folder / file.name).unlink(missing_ok=True)


def _download(
    hub: Hub, folder: Path, repository: Repository, files: list[RemoteFile], *, retrying: Retrying, connections: int
) -> list[FetchedFile]:
    total = sum(file.size or 0 for file in files)
    _refuse_if_full(folder, files)
    progress = Progress(total)
    _log().info("Fetching", extra=facts(revision=repository.commit, files=len(files), total_bytes=total))
    largest_first = sorted(files, key=lambda file: -(file.size or 0))
    downloads = [
        Download(hub=hub, commit=repository.commit, folder=folder, file=file, retrying=retrying, on_bytes=progress.add)
        for file in largest_first
    ]
    with shown(progress, total), ThreadPoolExecutor(connections, thread_name_prefix="fetch") as pool:
        futures = [pool.submit(download.run) for download in downloads]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = [error for future in done if (error := future.exception()) is not None]
        if failed:
            retrying.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise failed[0]
    _log().info("Fetched", extra=facts(**progress.describe()))
    return [future.result() for future in futures]


def _refuse_if_full(folder: Path, files: list[RemoteFile]) -> None:
    parts = [folder / (file.name + ".part") for file in files]
    there = sum(part.stat().st_size for part in parts if part.exists())
    needed = sum(file.size or 0 for file in files) - there
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StartupError(
            FailureCode.DISK_FULL,
            f"The model needs {needed // _MIB} MiB of disk in {folder} and {free // _MIB} MiB are free.",
            next_step="Give the model's volume more room, or choose a smaller model.",
        )


def _writable_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            f"The folder {folder} cannot be written to.",
            next_step="Mount a writable volume there, owned by the container's user or group.",
        )
    return folder


def _report(marker: Marker, began: float) -> FetchReport:
    size = sum(file.size for file in marker.files)
    return FetchReport(revision=marker.revision, bytes=size, seconds=round(time.monotonic() - began, 3))


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
