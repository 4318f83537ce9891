"""Install PyTorch for the CPU, also where only the Python package index answers.

Two sources, tried in this order unless one is named:

* ``index``: PyTorch's own index of CPU builds, through uv (0.75 GB installed).
* ``slim``: the CUDA build from the Python package index with what a CPU never runs taken out, and each
  NVIDIA library that its own libraries link against replaced by a small stand-in of the same name (1.0 GB
  instead of 5.4 GB). Meant for tests on machines without the index; it computes on the CPU only.

The slim wheel is kept in the cache folder and used by the virtual environment and the images alike.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from cache import cache_root, key_of
from elf import stand_in_library, undefined_symbols

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "torch-slim.txt"
VERSION = "2.13.0"
SLIM_VERSION = f"{VERSION}+slim.cpu"
WHEEL_NAME = f"torch-{SLIM_VERSION}-cp311-cp311-linux_x86_64.whl"

# Linked by libtorch*.so, called only with a GPU at hand. libcudart and libcufile are called while the
# library loads, so those two stay real.
EMPTY_LIBRARIES = (
    "libcublas.so.13", "libcublasLt.so.13", "libcuda.so.1", "libcudnn.so.9", "libcufft.so.12",
    "libcupti.so.13", "libcurand.so.10", "libcusolver.so.12", "libcusparse.so.12", "libcusparseLt.so.0",
    "libnccl.so.2", "libnvrtc.so.13", "libnvshmem_host.so.3",
)  # fmt: skip
# The functions are in a library of another name: the loader insists on symbol versions in the named ones.
ABSENT_LIBRARY = "libcuda_absent.so"
REAL_LIBRARIES = ("libcudart.so.13", "libcufile.so.0")
DROPPED = ("torch/include/", "torch/test/", "torch/share/", "torch/bin/protoc", "torch/lib/libtorch_cuda_linalg.so")
PROBE_SECONDS = 20


def build_slim_wheel() -> Path:
    """Make the slim wheel, or find it in the cache.

    Raises:
        subprocess.CalledProcessError: the package index did not give the pinned files.
    """
    key = key_of(LOCK, Path(__file__), Path(__file__).with_name("elf.py"))
    target = cache_root() / "wheels" / key / WHEEL_NAME
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        print(f"torch: downloading {VERSION} (0.5 GB)", flush=True)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*download, "--only-binary=:all:", "-r", str(LOCK), "-d", scratch], check=True)
        print("torch: taking out what a CPU never runs", flush=True)
        partial = Path(scratch) / "partial.whl"
        _repack(sorted(Path(scratch).glob("*.whl")), partial)
        partial.rename(target)
    return target


def _repack(wheels: Sequence[Path], target: Path) -> None:
    old_info, new_info = f"torch-{VERSION}.dist-info/", f"torch-{SLIM_VERSION}.dist-info/"
    # Stored, not deflated: the wheel is unpacked twice and never sent anywhere.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as slim:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as source:
                for entry in source.infolist():
                    name = entry.filename
                    if wheel.name.startswith("torch-"):
                        if not name.startswith((*DROPPED, old_info + "RECORD", old_info + "METADATA")):
                            _copy(source, entry, slim, name.replace(old_info, new_info))
                    elif name.endswith(REAL_LIBRARIES):
                        _copy(source, entry, slim, f"torch/lib/{Path(name).name}")
        _add_stand_ins(slim)
        slim.writestr(new_info + "METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {SLIM_VERSION}\n")
        slim.writestr(new_info + "RECORD", "".join(f"{name},,\n" for name in [*slim.namelist(), new_info + "RECORD"]))


def _add_stand_ins(slim: zipfile.ZipFile) -> None:
    wanted: set[str] = set()
    for name in slim.namelist():
        if name.startswith("torch/lib/lib") and ".so" in name:
            wanted |= undefined_symbols(slim.read(name))
    # The real libcudart defines its own (cuda…), so those stay with it.
    absent = sorted(name for name in wanted if re.match(r"cu(?!da[A-Z])|nccl|nv|__nv", name))
    slim.writestr(f"torch/lib/{ABSENT_LIBRARY}", stand_in_library(ABSENT_LIBRARY, symbols=absent))
    for soname in EMPTY_LIBRARIES:
        slim.writestr(f"torch/lib/{soname}", stand_in_library(soname, needed=ABSENT_LIBRARY))


def _copy(source: zipfile.ZipFile, entry: zipfile.ZipInfo, target: zipfile.ZipFile, name: str) -> None:
    if entry.is_dir():
        return
    copied = zipfile.ZipInfo(name, entry.date_time)
    copied.external_attr = entry.external_attr
    copied.file_size = entry.file_size
    with source.open(entry) as reader, target.open(copied, "w", force_zip64=True) as writer:
        shutil.copyfileobj(reader, writer, 1 << 22)


def install_from_index(python: str, *, check_only: bool = False) -> bool:
    """Install PyTorch's CPU build by uv, which knows the index; False when the index does not answer."""
    argv = [sys.executable, "-m", "uv", "pip", "install", "--python", python, "--torch-backend", "cpu", "--no-deps"]
    argv += ["--dry-run"] if check_only else []
    environment = {**os.environ, "UV_HTTP_TIMEOUT": str(PROBE_SECONDS), "UV_HTTP_RETRIES": "0"}
    run = subprocess.run([*argv, f"torch=={VERSION}"], env=environment, capture_output=True, check=False)
    return run.returncode == 0


def install(python: str, source: str) -> None:
    """Install PyTorch into the environment of an interpreter, unless it is there in this version."""
    probe = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('torch'))"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if probe.stdout.strip().startswith(VERSION):
        print(f"torch: {probe.stdout.strip()} is installed", flush=True)
        return
    if source in {"auto", "index"} and install_from_index(python):
        print(f"torch: {VERSION} for the CPU from PyTorch's index", flush=True)
        return
    if source == "index":
        sys.exit("torch: PyTorch's index did not answer. Check the network, or use --source slim.")
    wheel = build_slim_wheel()
    argv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, "--no-deps", str(wheel)]
    subprocess.run(argv, check=True)
    print(f"torch: {SLIM_VERSION}, made from the package index's build (for tests)", flush=True)


def main() -> None:
    """Entry point: ``install`` into an interpreter, ``wheel`` prints the slim wheel's path, ``source`` which one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["install", "wheel", "source"])
    parser.add_argument("--python", default=sys.executable, help="interpreter to install into")
    parser.add_argument("--source", choices=["auto", "index", "slim"], default=os.environ.get("TORCH_SOURCE", "auto"))
    options = parser.parse_args()
    if options.action == "install":
        install(options.python, options.source)
    elif options.action == "wheel":
        print(build_slim_wheel())
    else:
        automatic = "index" if install_from_index(options.python, check_only=True) else "slim"
        print(automatic if options.source == "auto" else options.source)


if __name__ == "__main__":
    main()
