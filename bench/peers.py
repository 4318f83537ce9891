"""Environments of the servers that we compare with, each of its own and from a lock file: ``python bench/peers.py``.

They lie in the cache folder. ``requirements/peers/NAME.txt`` is what they hold, beside PyTorch, which is the build
that our own environment has (hack/torch_wheel.py): every server computes with the same one.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from cache import cache_root, key_of, locked

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("infinity", "onnx", "transformers", "triton", "vllm")
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
    (folder / _READY).write_text(key_of(lock_of(peer)))


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
