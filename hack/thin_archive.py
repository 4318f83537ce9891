"""Turns what ``docker save`` writes into an OCI archive that leaves out layers which the reader has already."""

from __future__ import annotations

import json
import posixpath
import tarfile
from pathlib import Path
from typing import IO, Any

from oci import CONFIG_TYPE, LAYER_TYPE, Descriptor, add_blob, add_file, add_index

_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, zstd


def write_thin(saved: Path, name: str, had: set[str], target: Path) -> bool:
    """Write the image under this name; layers whose digest is in ``had`` are named but not contained.

    Gives False, with nothing usable written, for an archive whose layers are compressed (those of Docker's containerd
    store): their digests are not the ones in the image's configuration.
    """
    with tarfile.open(saved) as source, tarfile.open(target, "w") as tar:
        entry = json.load(_open(source, "manifest.json"))[0]
        raw = _open(source, entry["Config"]).read()
        digests: list[str] = json.loads(raw)["rootfs"]["diff_ids"]
        layers: list[Descriptor] = []
        written: set[str] = set()
        for digest, path in zip(digests, entry["Layers"], strict=True):
            member = _member(source, path)
            layers.append({"mediaType": LAYER_TYPE, "digest": digest, "size": member.size})
            if digest in had | written:
                continue
            content = _open(source, member)
            if content.read(4).startswith(_COMPRESSED):
                return False
            content.seek(0)
            add_file(tar, f"blobs/sha256/{digest.partition(':')[2]}", content, member.size)
            written.add(digest)
        add_index(tar, [(name, add_blob(tar, raw, CONFIG_TYPE), layers)])
    return True


def _member(source: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """Find a file; Docker writes a layer that occurs again as a link to the first."""
    member = source.getmember(name)
    if member.issym():
        return source.getmember(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
    return member


def _open(source: tarfile.TarFile, member: tarfile.TarInfo | str) -> IO[bytes]:
    content: Any = source.extractfile(member)
    if content is None:
        message = f"{member} is not a file in the archive"
        raise OSError(message)
    opened: IO[bytes] = content
    return opened
