"""Writes container images without any container engine: an OCI layout in one tar file."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

Descriptor = dict[str, str | int]
"""Refers to a blob: its media type, digest and size."""


@dataclass(frozen=True)
class Image:
    """One image of one layer, under one or more names."""

    names: tuple[str, ...]
    files: Mapping[str, Path | str]
    """Path in the image → file to copy, or (a string) target of a symbolic link."""
    entrypoint: tuple[str, ...] = ()
    path: str = "/"
    folders: tuple[str, ...] = ()


def write_archive(images: list[Image], target: Path) -> None:
    """Write the images as one archive that ``ctr images import`` understands."""
    with tarfile.open(target, "w") as tar:
        entries = []
        for number, image in enumerate(images):
            config, layer = _add_image(tar, image, target.parent / f"layer-{number}.tar")
            entries += [(name, config, [layer]) for name in image.names]
        add_index(tar, entries)


def add_index(tar: tarfile.TarFile, entries: list[tuple[str, Descriptor, list[Descriptor]]]) -> None:
    """Finish an archive: a manifest for each image's config and layers, and the list of them with their names."""
    manifests = []
    for name, config, layers in entries:
        content = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
        manifest = add_blob(tar, _json(content), MANIFEST_TYPE)
        manifests.append({**manifest, "annotations": {"io.containerd.image.name": name}})
    for name, value in {
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        "index.json": {"schemaVersion": 2, "manifests": manifests},
    }.items():
        data = _json(value)
        add_file(tar, name, io.BytesIO(data), len(data))


def add_blob(tar: tarfile.TarFile, data: bytes, media_type: str) -> Descriptor:
    """Add some bytes under the name of their digest; give what refers to them."""
    digest = hashlib.sha256(data).hexdigest()
    add_file(tar, f"blobs/sha256/{digest}", io.BytesIO(data), len(data))
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def add_file(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    """Add a file whose content is read from a stream."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, content)


def _add_image(tar: tarfile.TarFile, image: Image, scratch: Path) -> tuple[Descriptor, Descriptor]:
    _write_layer(image, scratch)
    with scratch.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        size = scratch.stat().st_size
        add_file(tar, f"blobs/sha256/{digest}", content, size)
    scratch.unlink()
    layer: Descriptor = {"mediaType": LAYER_TYPE, "digest": f"sha256:{digest}", "size": size}
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(image.entrypoint), "Env": [f"PATH={image.path}"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    return add_blob(tar, _json(config), CONFIG_TYPE), layer


def _write_layer(image: Image, target: Path) -> None:
    # No times and no owners: the same files always give the same digest.
    with tarfile.open(target, "w") as tar:
        for folder in sorted({*image.folders, *_parents(image.files)}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, source in sorted(image.files.items()):
            entry = tarfile.TarInfo(name)
            if isinstance(source, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, source
                tar.addfile(entry)
                continue
            entry.mode, entry.size = source.stat().st_mode & 0o777, source.stat().st_size
            with source.open("rb") as content:
                tar.addfile(entry, content)


def _parents(files: Mapping[str, Path | str]) -> set[str]:
    found = {str(parent) for name in files for parent in Path(name).parents}
    return found - {"."}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
