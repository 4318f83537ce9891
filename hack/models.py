"""The models that demo and tests serve where no hub answers, made here and packed into images."""

from __future__ import annotations

import sys
from pathlib import Path

import kind_cluster
from images import model_image
from loading import load
from steps import Step, run_steps, sh

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
    support = {"PYTHONPATH": str(ROOT / "tests" / "support")}
    for image, command in IMAGES.items():
        # In a process of its own: PyTorch is not something to keep in this one.
        sh([sys.executable, "-m", *command, folder_of(image)], log, support)
        model_image(image, folder_of(image), log)


def put_on_nodes(_: Path) -> None:
    """Bring the model images onto every node that lacks them."""
    load(list(IMAGES), kind_cluster.workers())


def make_and_load() -> None:
    """Do both, with progress."""
    run_steps([Step("models", make), Step("models onto the nodes", put_on_nodes, after=("models",))])
