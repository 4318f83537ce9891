"""The fetch command: a model's files from a hub into a folder, verified, or a reason why not."""

import contextlib
import logging
import os
import re
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from llmi_api.failure import FailureCode, FetchReport
from llmi_server.errors import StartupError
from llmi_server.logs import facts
from llmi_server.machine import has_device_driver, may_have_gpu, memory_limit_bytes
from llmi_server.model.cache import (
    cache_folder,
    clear,
    find_complete,
    free_bytes,
    link_files,
    others_in,
)
from llmi_server.model.download import Download, digest_of
from llmi_server.model.folder_lock import FolderLock
from llmi_server.model.foresight import foresee, least_by_precision, refuse_if_hopeless, weights_by_precision
from llmi_server.model.hub import (
    DEFAULT_ENDPOINT,
    DEFAULT_REVISION,
    Hub,
    RemoteFile,
    Repository,
    RetryableError,
    read_token,
)
from llmi_server.model.marker import FetchedFile, Marker, read_marker, write_marker
from llmi_server.model.progress import Progress, shown
from llmi_server.model.readiness import answered
from llmi_server.model.retrying import Retrying
from llmi_server.model.selection import select_files
from llmi_server.model.weights import count_numbers
from llmi_server.settings import FetchSettings

_MIB = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(settings: FetchSettings) -> FetchReport:
    """Bring the folder to the wanted commit.

    Files that are there already and match are kept, broken-off ones are resumed.

    Raises:
        StartupError: The model cannot be had, and why.
    """
    began, progress = time.monotonic(), Progress()
    with answered(progress.report, settings.port):
        marker, upstream = _fetch(settings, progress)
    return FetchReport(
        revision=marker.revision,
        bytes=sum(file.size for file in marker.files),
        seconds=round(time.monotonic() - began, 3),
        downloaded_bytes=progress.received_bytes,
        upstream=upstream,
    )


def _fetch(settings: FetchSettings, progress: Progress) -> tuple[Marker, str | None]:
    """Return what is there in the end, and the commit that the revision names by now if it is another."""
    folder = _writable_folder(Path(settings.model_dir))
    commit = _known_commit(settings)
    if commit is not None and (marker := _find(settings, folder, commit)) is not None:
        return marker, None
    with contextlib.closing(_open_hub(settings)) as hub:
        repository = _retrying(settings).call(lambda: hub.describe(commit or _revision(settings)))
        upstream = _ask_upstream(hub, settings)
        marker = _find(settings, folder, repository.commit)
        if marker is None:
            marker = _Fetching(hub=hub, repository=repository, settings=settings, progress=progress).into(folder)
    return marker, None if upstream == repository.commit else upstream


def _known_commit(settings: FetchSettings) -> str | None:
    """Return the commit that is wanted if that is clear without asking the hub: a commit never changes."""
    wanted = settings.model_commit or _revision(settings)
    return wanted if _COMMIT.fullmatch(wanted) else None


def _revision(settings: FetchSettings) -> str:
    return settings.model_revision or DEFAULT_REVISION


def _find(settings: FetchSettings, folder: Path, commit: str) -> Marker | None:
    """Return the marker of the commit if it is in the folder, or in the cache, to which the folder then leads."""
    marker = find_complete(folder, settings.model_id, commit)
    if marker is None and settings.cache_dir is not None:
        cached = cache_folder(Path(settings.cache_dir), settings.model_id, commit)
        marker = find_complete(cached, settings.model_id, commit)
        if marker is not None:
            link_files(cached, folder, marker)
    if marker is not None:
        _log().info("Model is already there", extra=facts(model=marker.model_id, revision=marker.revision))
    return marker


def _ask_upstream(hub: Hub, settings: FetchSettings) -> str | None:
    """Ask once what the revision of a pinned model names by now; that is news, not a condition."""
    if settings.model_commit is None or _COMMIT.fullmatch(_revision(settings)):
        return None
    try:
        return hub.describe(_revision(settings)).commit
    except (StartupError, RetryableError) as error:
        _log().info("Unknown what the revision names by now", extra=facts(cause=str(error)))
        return None


def _open_hub(settings: FetchSettings) -> Hub:
    return Hub(
        endpoint=settings.hub_endpoint or DEFAULT_ENDPOINT,
        model_id=settings.model_id,
        token=read_token(Path(settings.hub_token_file)) if settings.hub_token_file else None,
        timeout_seconds=settings.timeout_seconds,
    )


def _retrying(settings: FetchSettings) -> Retrying:
    return Retrying(attempts=settings.attempts, first_wait_seconds=settings.retry_seconds)


@dataclass(frozen=True, kw_only=True)
class _Fetching:
    """One commit on its way into a folder."""

    hub: Hub
    repository: Repository
    settings: FetchSettings
    progress: Progress

    def into(self, folder: Path) -> Marker:
        """Fetch into the folder, or into the cache that the folder then leads to."""
        if self.settings.cache_dir is None:
            return self._bring_up_to_date(folder, _retrying(self.settings))
        cached = cache_folder(Path(self.settings.cache_dir), self.settings.model_id, self.repository.commit)
        marker = self._into_shared(_writable_folder(cached))
        link_files(cached, folder, marker)
        return marker

    def _into_shared(self, folder: Path) -> Marker:
        """Fetch unless another replica does; then wait for it."""
        while True:
            lock, retrying = FolderLock(folder.with_name(folder.name + ".lock")), _retrying(self.settings)
            self.progress.enter("wait")
            held = lock.acquire(unless=lambda: self._shared(folder) is not None, on_lost=retrying.stopped.set)
            if not held and (marker := self._shared(folder)) is not None:
                return marker
            try:
                return self._shared(folder) or self._bring_up_to_date(folder, retrying)
            except StartupError:
                if not lock.lost.is_set():
                    raise
                _log().warning("Another replica took over the fetch")
            finally:
                lock.release()

    def _shared(self, folder: Path) -> Marker | None:
        return find_complete(folder, self.settings.model_id, self.repository.commit)

    def _bring_up_to_date(self, folder: Path, retrying: Retrying) -> Marker:
        names = set(select_files(file.name for file in self.repository.files))
        wanted = [file for file in self.repository.files if file.name in names]
        kept = _kept_files(folder, wanted)
        clear(folder, read_marker(folder), names)
        fetched = self._download(folder, [file for file in wanted if file.name not in kept], retrying)
        files = sorted([*kept.values(), *fetched], key=lambda file: file.name)
        marker = Marker(model_id=self.settings.model_id, revision=self.repository.commit, files=tuple(files))
        write_marker(folder, marker)
        return marker

    def _download(self, folder: Path, files: list[RemoteFile], retrying: Retrying) -> list[FetchedFile]:
        self._refuse_if_full(folder, files)
        self._foresee(files, retrying)
        total, commit = sum(file.size or 0 for file in files), self.repository.commit
        _log().info("Fetching", extra=facts(revision=commit, files=len(files), total_bytes=total))
        self.progress.expect(total)
        largest_first = sorted(files, key=lambda file: -(file.size or 0))
        downloads = [
            Download(hub=self.hub, commit=commit, folder=folder, file=file, retrying=retrying, progress=self.progress)
            for file in largest_first
        ]
        pool = ThreadPoolExecutor(self.settings.connections, thread_name_prefix="fetch")
        try:
            with shown(self.progress):
                futures = [pool.submit(download.run) for download in downloads]
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException as error:
            retrying.stopped.set()
            pool.shutdown(cancel_futures=True, wait=isinstance(error, Exception))  # a signal does not wait for the hub
            raise
        pool.shutdown()
        _log().info("Fetched", extra=facts(**self.progress.describe()))
        return [future.result() for future in futures]

    def _foresee(self, files: list[RemoteFile], retrying: Retrying) -> None:
        """Say what memory the model will take, and refuse it where its weights alone are too much."""
        if not any(file.name.endswith(".safetensors") for file in files):
            return
        self.progress.enter("headers")
        commit = self.repository.commit
        names = set(select_files(file.name for file in self.repository.files))
        needs = foresee(
            [file for file in self.repository.files if file.name in names],
            lambda name, length: retrying.call(lambda: self.hub.read_start(name, commit, length=length)),
            connections=self.settings.connections,
        )
        if needs is None:
            _log().info("Unknown what memory the model takes, until it is loaded")
            return
        # Another engine's image may have what computes on a device, and this one fetches for it.
        with_gpu, limit = may_have_gpu() or has_device_driver(), memory_limit_bytes()
        least = least_by_precision(needs, may_have_gpu=with_gpu)
        self.progress.predict(least, weights_by_precision(needs, may_have_gpu=with_gpu))
        sizes = {f"{name}_mib": size // _MIB for name, size in least.items()}
        facts_of_memory = facts(parameters=count_numbers(needs.tensors), limit_mib=limit // _MIB, **sizes)
        if with_gpu or not self.settings.check_memory:
            _log().info("Memory that the model takes", extra=facts_of_memory)
            return
        refuse_if_hopeless(needs, limit=limit)
        tight = max(least.values()) > limit
        message = "The model may not fit into memory" if tight else "Memory that the model takes"
        _log().log(logging.WARNING if tight else logging.INFO, message, extra=facts_of_memory)

    def _refuse_if_full(self, folder: Path, files: list[RemoteFile]) -> None:
        parts = [folder / (file.name + ".part") for file in files]
        there = sum(part.stat().st_size for part in parts if part.exists())
        needed = sum(file.size or 0 for file in files) - there
        free = free_bytes(folder)
        if needed <= free:
            return
        others = others_in(Path(self.settings.cache_dir), folder) if self.settings.cache_dir else ""
        raise StartupError(
            FailureCode.DISK_FULL,
            f"The model needs {needed // _MIB} MiB of disk in {folder} and {free // _MIB} MiB are free.",
            next_step=f"Enlarge the cache's volume, or delete what no replica uses any more: it holds {others}."
            if others
            else "Give the model's volume more room, or choose a smaller model.",
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


def _log() -> logging.Logger:
    return logging.getLogger(__name__)
