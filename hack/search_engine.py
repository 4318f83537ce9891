"""Fetches a search engine with Elasticsearch's interface (OpenSearch) from Maven's repository: tests of logs run it."""

from __future__ import annotations

import shutil
from pathlib import Path

from cache import Artifact, key_of
from gobuild import TOOLS_DIR
from problems import MissingTool
from steps import Step, sh

FOLDER = TOOLS_DIR / "opensearch"
SOURCE = FOLDER / "SearchEngine.java"
LIBRARIES = Artifact("search-engine", key_of(FOLDER / "pom.xml"))


def step() -> Step:
    """Give the step that fetches it, unless it is there."""
    return Step(
        "fetching OpenSearch",
        lambda log: LIBRARIES.build(lambda target: _fetch(target, log)),
        skip_if=LIBRARIES.is_built,
        remedy="if packages could not be fetched, check Maven's settings and the network, then run the command again",
    )


def command(folder: Path, port: int) -> list[str]:
    """Give the command that runs it, with its data in a folder."""
    return [
        find("java"),
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-cp",
        f"{LIBRARIES.path}/*",
        str(SOURCE),
        str(folder),
        str(port),
    ]


def find(program: str) -> str:
    """Find a program of Java's world."""
    path = shutil.which(program)
    if path is None:
        raise MissingTool(
            f"{program} is needed to run a search engine, and is not on PATH.",
            "install it (Debian: apt-get install maven openjdk-17-jdk-headless), then run the same command again",
        )
    return path


def _fetch(target: Path, log: Path) -> None:
    argv = [find("mvn"), "--quiet", "--batch-mode", "dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    sh(argv, log, {}, cwd=FOLDER)
