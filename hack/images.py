"""Builds the images of the operator, the server and Triton, and small images that only carry a model.

``python hack/images.py build``; with ``TORCH=cuda`` the server's image for NVIDIA GPUs as well. Where images can be
pulled, this is plain ``docker build``. Elsewhere the base images are those that hack/debian.py makes, and the Python
packages are downloaded beforehand by their locked hashes, so that the build itself needs no network at all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import triton_program
from bringing_up import BASE_IMAGE, build_steps
from cache import Artifact, key_of
from debian import PYTHON_LIBRARY, library
from docker_engine import answers, ensure_docker, has_image, image_id, legacy_builder
from mode import Mode, choose, registry_answers
from steps import Step, run_steps, say, sh, tell_and_exit
from torch_wheel import build_slim_wheel, install_from_index

ROOT = Path(__file__).resolve().parent.parent
OPERATOR_IMAGE = "llminference/operator:dev"
SERVER_IMAGE = "llminference/server:dev"
CUDA_IMAGE = "llminference/server:dev-cuda"
TRITON_IMAGE = "llminference/triton:dev"
BUILT = (OPERATOR_IMAGE, SERVER_IMAGE, TRITON_IMAGE)
INPUTS_LABEL = "llminference.dev/inputs"
BASES = {"BASE_IMAGE": f"{BASE_IMAGE}:bookworm", "BUILD_IMAGE": f"{BASE_IMAGE}:bookworm-build"}

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "api", "operator", "server", "requirements/build.txt")
OPERATOR_INPUTS = ("Dockerfile.operator", "requirements/operator.txt", *SOURCES)
SERVER_INPUTS = (
    *("Dockerfile.server", "requirements/server.txt", "requirements/compiler.txt"),
    *("requirements/torch.txt", "requirements/torch-cuda.txt"),
    *SOURCES,
)
TRITON_FOLDER = "build/tritonserver"


def steps(mode: Mode, after: tuple[str, ...] = ()) -> list[Step]:
    """Give the steps that leave the images in Docker; packages are fetched at once, builds wait for ``after``."""
    offline = mode is Mode.BUILD
    cuda = os.environ.get("TORCH") == "cuda"
    names = ("build", "compiler", "operator", "server", "torch", *(("torch-cuda",) if cuda else ()))
    fetches = [fetch_step(name) for name in names] if offline else []
    torch = [_torch_step()] if offline else []
    program = triton_program.step()
    first = (*after, *(step.name for step in fetches))
    builds = [
        Step("operator image", lambda log: _build_operator(log, offline=offline), after=first),
        # One build at a time: each unpacks packages and compiles them.
        Step(
            "server image",
            lambda log: _build_server(log, offline=offline),
            after=("operator image", *(step.name for step in torch)),
        ),
        Step("Triton image", lambda log: _build_triton(log, offline=offline), after=("server image", program.name)),
    ]
    if cuda:
        for_cuda = Step("server image for CUDA", lambda log: _build_cuda(log, offline=offline), after=("Triton image",))
        builds.append(for_cuda)
    return [*fetches, *torch, program, *builds]


def packages(name: str, lock: str = "") -> Artifact:
    """Tell where the packages of a lock file lie, which is ``requirements/NAME.txt`` unless named."""
    return Artifact(f"image-packages-{name}", key_of(_lock(name, lock)))


def _lock(name: str, lock: str) -> Path:
    return ROOT / (lock or f"requirements/{name}.txt")


def fetch_step(name: str, lock: str = "") -> Step:
    """Give the step that downloads them."""

    def fetch(log: Path) -> None:
        def fill(target: Path) -> None:
            argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            argv += ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", *_platforms()]
            sh([*argv, "-r", _lock(name, lock), "-d", target], log)

        packages(name, lock).build(fill)

    return Step(
        f"Python packages for images: {name}",
        fetch,
        skip_if=packages(name, lock).is_built,
        remedy="check that the Python package index answers, then run the same command again",
    )


def _platforms() -> list[str]:
    """Name the platforms whose wheels Debian 12 (glibc 2.36) can run; pip matches each name exactly."""
    machine = os.uname().machine
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)]
    return [f"--platform={name}" for name in [*names, f"manylinux2014_{machine}", f"linux_{machine}"]]


def _torch_step() -> Step:
    return Step(
        "PyTorch for the CPU",
        lambda log: sh([sys.executable, ROOT / "hack" / "torch_wheel.py", "wheel"], log),
        remedy="check that the Python package index answers, then run the same command again",
    )


def _build_triton(log: Path, *, offline: bool) -> None:
    """Build Triton's image on the server's; where the base has no library of Python, that is put beside Triton's."""
    folder = ROOT / TRITON_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(triton_program.build(), folder)
    if offline:
        shutil.copy(library(PYTHON_LIBRARY, log), folder / "lib")
    build_image(TRITON_IMAGE, ("Dockerfile.triton", TRITON_FOLDER), {"SERVER_IMAGE": SERVER_IMAGE}, {}, log)


def _build_operator(log: Path, *, offline: bool) -> None:
    folders = {name: packages(name).path for name in ("build", "operator")} if offline else {}
    build_image(OPERATOR_IMAGE, OPERATOR_INPUTS, {}, folders, log)


def _build_server(log: Path, *, offline: bool) -> None:
    if not offline and install_from_index(sys.executable, check_only=True):
        build_image(SERVER_IMAGE, SERVER_INPUTS, {"TORCH": "cpu"}, {}, log)
        return
    folders = {name: packages(name).path for name in ("build", "compiler", "server", "torch")} if offline else {}
    build_image(SERVER_IMAGE, SERVER_INPUTS, {"TORCH": "wheels"}, folders, log, extra=build_slim_wheel())


def _build_cuda(log: Path, *, offline: bool) -> None:
    names = {"build": "build", "compiler": "compiler", "server": "server", "torch": "torch-cuda"}
    folders = {folder: packages(name).path for folder, name in names.items()} if offline else {}
    build_image(CUDA_IMAGE, SERVER_INPUTS, {"TORCH": "cuda"}, folders, log)


def build_image(
    image: str,
    inputs: tuple[str, ...],
    arguments: dict[str, str],
    folders: dict[str, Path],
    log: Path,
    *,
    extra: Path | None = None,
) -> None:
    """Build an image unless Docker has it from the same inputs; ``folders`` replace the network."""
    if folders:
        arguments = {**arguments, **BASES, "PIP_ARGS": "--no-index --find-links /src/wheels"}
    bases = [image_id(base) or "" for name, base in arguments.items() if name.endswith("_IMAGE")]
    wheels = [folder.name for folder in folders.values()] + [str(extra)]
    key = key_of(*(ROOT / name for name in inputs), str(sorted(arguments.items())), *bases, *wheels)
    if has_image(image) and _label(image) == key:
        return
    words = [word for item in arguments.items() for word in ("--build-arg", "=".join(item))]
    words += ["--label", f"{INPUTS_LABEL}={key}", "--build-arg", f"REVISION={_revision()}"]
    words += ["--network", "none"] if folders or "SERVER_IMAGE" in arguments else []
    with _context(inputs, folders, extra).open("rb") as context:
        sh(["docker", "build", *words, "-f", inputs[0], "-t", image, "-"], log, legacy_builder(), stdin=context)


def _context(inputs: tuple[str, ...], folders: dict[str, Path], extra: Path | None) -> Path:
    """Pack exactly what a build reads: the rest of the tree must not make layers stale."""
    target = ROOT / "build" / f"{Path(inputs[0]).name}.context.tar"
    target.parent.mkdir(exist_ok=True)
    with tarfile.open(target, "w") as tar:
        for name in inputs:
            tar.add(ROOT / name, name, filter=_same_everywhere)
        for name, folder in folders.items():
            tar.add(folder, f"build/image-wheels/{name}", filter=_same_everywhere)
        if extra:
            tar.add(extra, f"build/image-wheels/torch/{extra.name}", filter=_same_everywhere)
    return target


def _same_everywhere(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def model_image(image: str, folder: Path, log: Path) -> None:
    """Make an image that only carries the files of a folder, for ``model.image``, unless Docker has it.

    Args:
        image: its name, such as ``llminference/model-minilm:dev``.
        folder: the model's files; they become the root of the image.
        log: file for docker's output.
    """
    _import(image, key_of(folder), {path.name: path for path in sorted(folder.iterdir())}, log)


def program_image(image: str, program: Path, log: Path) -> None:
    """Make an image that only carries a program that needs nothing else, unless Docker has it.

    Args:
        image: the name under which manifests know it, where it cannot be pulled.
        program: a static binary; the image runs it.
        log: file for docker's output.
    """
    entry = f"bin/{program.name}"
    _import(image, key_of(program), {entry: program}, log, "--change", f'ENTRYPOINT ["/{entry}"]')


def _import(image: str, key: str, files: dict[str, Path], log: Path, *changes: str) -> None:
    if has_image(image) and _label(image) == key:
        return
    archive = ROOT / "build" / f"{key}.tar"
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        for name, path in files.items():
            tar.add(path, name, filter=_same_everywhere)
    sh(["docker", "import", "--change", f"LABEL {INPUTS_LABEL}={key}", *changes, archive, image], log)
    archive.unlink()


def _label(image: str) -> str:
    form = f'{{{{index .Config.Labels "{INPUTS_LABEL}"}}}}'
    argv = ["docker", "image", "inspect", "--format", form, image]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def _revision() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    argv = [git, "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def base_steps() -> list[Step]:
    """Give only those steps of the offline cluster build that lead to the base images."""
    wanted, found = {"base images"}, dict[str, Step]()
    known = {step.name: step for step in build_steps()}
    while wanted:
        step = known[wanted.pop()]
        found[step.name] = step
        wanted |= set(step.after) - set(found)
    return list(found.values())


def sizes() -> str:
    """Tell the sizes of the images as Docker counts them, unpacked."""
    lines = []
    for image in BUILT:
        argv = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
        size = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
        lines.append(f"{image}: {size / 1e6:.0f} MB")
    return "\n".join(lines)


def main() -> None:
    """Entry point of ``make images``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=os.environ.get("CLUSTER_MODE", "auto"))
    options = parser.parse_args()
    if not answers():
        run_steps([Step("Docker", ensure_docker)])
    choice = choose(Mode(options.mode), is_local=has_image, is_answered=registry_answers)
    say(f"Mode {choice.mode}: {choice.why}.")
    bases = base_steps() if choice.mode is Mode.BUILD else []
    run_steps([*bases, *steps(choice.mode, after=("base images",) if bases else ())])
    say(sizes())


if __name__ == "__main__":
    tell_and_exit(main)
