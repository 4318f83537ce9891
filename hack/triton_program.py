"""Triton, taken out of NVIDIA's wheel on the Python package index, 0.2 GB.

``python hack/triton_program.py FOLDER`` puts it there; tests run it from the cache.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from cache import Artifact, key_of
from steps import Step

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "triton.txt"
PYTHON = "3.11"
NOT_NEEDED = "libpython3-"
"""In the wheel for the back end's part for another version of Python."""


def program() -> Artifact:
    """The folder: ``bin``, ``backends``, ``lib``, and ``python`` with the NumPy that the back end needs."""
    return Artifact("triton", key_of(LOCK, Path(__file__)))


def step() -> Step:
    """Give the step that makes it."""
    return Step(
        "Triton's programs",
        lambda _: program().build(_make),
        skip_if=program().is_built,
        remedy="check that the Python package index answers, then run the same command again",
    )


def build() -> Path:
    """Make the folder, or find it made.

    Raises:
        subprocess.CalledProcessError: The package index did not give the pinned files.
    """
    program().build(_make)
    return program().path


def _make(target: Path) -> None:
    wheels = target / "wheels"
    # No source packages, and no dependencies: of pytriton itself nothing is used.
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--only-binary=:all:", f"--python-version={PYTHON}", "--require-hashes", "-r", str(LOCK)]
    subprocess.run([*argv, *_platforms(), "-d", str(wheels)], check=True)
    unpacked = target / "unpacked"
    for wheel in wheels.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(unpacked)
    found = unpacked / "pytriton" / "tritonserver"
    (target / "bin").mkdir()
    (found / "bin" / "tritonserver").rename(target / "bin" / "tritonserver")
    (found / "backends").rename(target / "backends")
    stub = found / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    stub.rename(target / "backends" / "python" / stub.name)
    (unpacked / "nvidia_pytriton.libs").rename(target / "lib")
    for library in (target / "lib").glob(f"{NOT_NEEDED}*"):
        library.unlink()
    (target / "python").mkdir()
    for part in unpacked.glob("numpy*"):
        part.rename(target / "python" / part.name)
    for name in ("bin/tritonserver", f"backends/python/{stub.name}"):
        (target / name).chmod(0o755)
    for done in (wheels, unpacked):
        shutil.rmtree(done)


def _platforms() -> list[str]:
    """Name the platforms whose wheels a glibc of 2.35 can run; pip matches each name exactly."""
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(35, 4, -1)]
    return [f"--platform={name}" for name in [*names, f"manylinux2014_{machine}"]]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    shutil.copytree(build(), parser.parse_args().folder, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
