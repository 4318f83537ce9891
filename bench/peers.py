"""Environments of the servers that we compare with, each of its own and from a lock file: ``python bench/peers.py``.

They lie in the cache folder. ``requirements/peers/NAME.txt`` is what they hold, beside PyTorch, which is the build
that our own environment has (hack/torch_wheel.py): every server computes with the same one.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from cache import cache_root, key_of, locked
from torch_wheel import LOCK as TORCH_LOCK

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("infinity", "onnx", "transformers", "triton", "vllm")
COMPILING = ("vllm",)
HEADERS = "torch/include/"
_READY = ".ready"


def lock_of(peer: str) -> Path:
    """Tell the file that says which packages a peer needs."""
    return ROOT / "requirements" / "peers" / f"{peer}.txt"


def folder_of(peer: str) -> Path:
    """Tell the folder of a peer's environment."""
    return cache_root() / "peers" / peer


def python_of(peer: str) -> Path:
    """Tell the interpreter of a peer's environment."""
    return folder_of(peer) / "bin" / "python"


def is_installed(peer: str) -> bool:
    """Say whether a peer's environment is there and holds what the lock file says."""
    mark = folder_of(peer) / _READY
    return mark.exists() and mark.read_text() == key_of(lock_of(peer))


def install(peer: str) -> None:
    """Make a peer's environment anew.

    Raises:
        subprocess.CalledProcessError: A package could not be had.
    """
    folder, python = folder_of(peer), str(python_of(peer))
    shutil.rmtree(folder, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    chosen = ["--python", python, "--no-deps", "--require-hashes", "-r", str(lock_of(peer))]
    subprocess.run([*uv, "pip", "install", *chosen], check=True)
    subprocess.run([sys.executable, str(ROOT / "hack" / "torch_wheel.py"), "install", "--python", python], check=True)
    if peer in COMPILING:
        add_headers(python)
    (folder / _READY).write_text(key_of(lock_of(peer)))


def add_headers(python: str) -> None:
    """Give an environment the C++ headers that ``torch.compile`` needs, where its PyTorch is the slim build."""
    probe = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True).stdout.strip())
    if (packages / HEADERS).is_dir():
        return
    with tempfile.TemporaryDirectory() as scratch:
        print("torch: downloading its headers (0.5 GB)", flush=True)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*download, "--only-binary=:all:", "-r", str(TORCH_LOCK), "-d", scratch], check=True)
        (wheel,) = Path(scratch).glob("torch-*.whl")
        with zipfile.ZipFile(wheel) as source:
            source.extractall(packages, [name for name in source.namelist() if name.startswith(HEADERS)])


def main() -> int:
    """Install the peers that are not there yet; the exit code is the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", choices=[*PEERS, []], help="all unless named")
    failed = 0
    for peer in parser.parse_args().peers or PEERS:
        with locked(f"peer-{peer}"):
            if is_installed(peer):
                print(f"{peer}: is there, {folder_of(peer)}", flush=True)
                continue
            print(f"{peer}: installing into {folder_of(peer)} (up to 2.5 GB)", flush=True)
            try:
                install(peer)
            except subprocess.CalledProcessError as error:
                failed += 1
                print(f"{peer}: not installed, {error}; its rows will say so", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
