"""Compiles the kernels, with the C compiler of the package ziglang: ``python compile.py FOLDER``.

One library for each instruction set goes into the folder, by default this one, where the server looks for them. On
other processors than x86-64 there is nothing to compile, and the server computes with PyTorch's own kernels.
"""

import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEVELS = {"x86_64_v3": 8, "x86_64_v4": 16}
"""Instruction sets by the names of the System V ABI, and how many floats their registers hold."""

OPTIONS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-sanitize=all", "-fvisibility=hidden")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
OLDEST_GLIBC = "2.17"


def build(folder: Path) -> list[Path]:
    """Compile into a folder and return the libraries.

    Raises:
        subprocess.CalledProcessError: The compiler is absent or does not like the source; it has said why.
    """
    if platform.machine() != "x86_64":
        return []
    return [_compile(folder / f"{level}.so", level, lanes) for level, lanes in LEVELS.items()]


def _compile(target: Path, level: str, lanes: int) -> Path:
    words = [sys.executable, "-m", "ziglang", "cc", "-target", f"x86_64-linux-gnu.{OLDEST_GLIBC}", f"-mcpu={level}"]
    words += [f"-DLANES={lanes}", *OPTIONS, *WARNINGS, "-shared", "-fPIC", "-s"]
    words += [*map(str, sorted(HERE.glob("*.c"))), "-o", str(target)]
    subprocess.run(words, check=True)
    return target


if __name__ == "__main__":
    for library in build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE):
        print(f"kernels: {library.name}")
