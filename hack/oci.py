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
from typing import IO, Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass
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
        _add_json(tar, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        manifests: list[dict[str, Any]] = []
        for number, image in enumerate(images):
            descriptor = _add_image(tar, image, target.parent / f"layer-{number}.tar")
            manifests += [{**descriptor, "annotations": {"io.containerd.image.name": name}} for name in image.names]
        _add_json(tar, "index.json", {"schemaVersion": 2, "manifests": manifests})


def _add_image(tar: tarfile.TarFile, image: Image, scratch: Path) -> dict[str, Any]:
    _write_layer(image, scratch)
    digest = _digest(scratch)
    size = scratch.stat().st_size
    layer = {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": size}
    with scratch.open("rb") as content:
        _add(tar, f"blobs/sha256/{digest}", content, size)
    scratch.unlink()
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(image.entrypoint), "Env": [f"PATH={image.path}"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _add_blob(tar, config, _CONFIG),
        "layers": [layer],
    }
    return _add_blob(tar, manifest, _MANIFEST)


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


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _add_blob(tar: tarfile.TarFile, value: object, media_type: str) -> dict[str, Any]:
    data = json.dumps(value, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    _add(tar, f"blobs/sha256/{digest}", io.BytesIO(data), len(data))
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _add_json(tar: tarfile.TarFile, name: str, value: object) -> None:
    data = json.dumps(value).encode()
    _add(tar, name, io.BytesIO(data), len(data))


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, content)
