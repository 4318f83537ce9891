"""The models that demo and tests serve where no hub answers, made here and packed into images."""

from __future__ import annotations

import sys
from pathlib import Path

import kind_cluster
from images import model_image
from loading import load
from steps import LOG_DIR, Step, run_steps, sh

ROOT = Path(__file__).resolve().parent.parent
IMAGES = {
    "llminference/model-minilm:dev": ("llmi_testing.minilm",),
    "llminference/model-tiny-bert:dev": ("llmi_testing.models", "tiny-bert"),
}


def folder_of(image: str) -> Path:
    """Tell where a model's files lie before they are packed."""
    return ROOT / "build" / "models" / image.partition(":")[0].rpartition("/model-")[2]


def make(log: Path) -> None:
    """Make the models and their images, or find them made."""
    for image, command in IMAGES.items():
        make_one(command, folder_of(image), log)
        model_image(image, folder_of(image), log)


def make_one(command: tuple[str, ...], folder: Path, log: Path | None = None) -> None:
    """Fill a folder by a module of the tests' support, which keeps what it made in the cache."""
    # In a process of its own: PyTorch is not something to keep in this one.
    support = {"PYTHONPATH": str(ROOT / "tests" / "support")}
    sh([sys.executable, "-m", *command, folder], log or LOG_DIR / "model.log", support)


def put_on_nodes(_: Path) -> None:
    """Bring the model images onto every node that lacks them."""
    load(list(IMAGES), kind_cluster.workers())


def make_and_load() -> None:
    """Do both, with progress."""
    run_steps([Step("models", make), Step("models onto the nodes", put_on_nodes, after=("models",))])
