"""Reading a model's weights into the kernel's file cache while Python is still importing libraries.

The engine maps the files, so without this their bytes would come one page at a time with the first answer. Reading them
in order is faster on every kind of volume, overlaps with the imports, and can be counted.
"""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

_BLOCK_BYTES = 4 << 20


class ReadingWatcher(Protocol):
    """Who is told how far the reading is."""

    def expect(self, total_bytes: int) -> None:
        """Take note of how many bytes are to be read, which begins now."""
        ...

    def read(self, count: int) -> None:
        """Take note of bytes that were read."""
        ...


def read_ahead(files: Sequence[Path], watcher: ReadingWatcher) -> threading.Thread:
    """Begin to read the files on another thread, and return the thread."""
    watcher.expect(sum(path.stat().st_size for path in files))
    thread = threading.Thread(target=_read_all, args=(files, watcher), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _read_all(files: Sequence[Path], watcher: ReadingWatcher) -> None:
    block = bytearray(_BLOCK_BYTES)
    try:
        for path in files:
            with path.open("rb", buffering=0) as handle:
                while count := os.readv(handle.fileno(), [block]):
                    watcher.read(count)
    except OSError:
        logging.getLogger(__name__).warning("Reading ahead failed", exc_info=True)  # the engine will say it better
