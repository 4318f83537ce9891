"""Brings images of the local Docker into the nodes of the kind cluster, without what they have already."""

from __future__ import annotations

import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docker_engine import image_id
from kind_cluster import Node
from problems import CommandFailed, Problem
from thin_archive import write_thin

_IN_NODE = ["--namespace=k8s.io"]


def load(images: list[str], nodes: list[Node]) -> dict[str, list[str]]:
    """Load each image into the nodes that lack it, all nodes at once; tell per image which nodes got it."""
    ids = {image: image_id(image) for image in images}
    if unknown := [image for image, found in ids.items() if found is None]:
        raise Problem(
            f"Docker has no image {', '.join(unknown)}.", "build it first (`docker images` lists what there is)"
        )
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        present = dict(zip([n.name for n in nodes], pool.map(_ids_in, nodes), strict=True))
        loaded: dict[str, list[str]] = {}
        for image in images:
            name = full_name(image)
            lacking = [node for node in nodes if present[node.name].get(name) != ids[image]]
            if lacking:
                _load_one(image, lacking, pool)
            loaded[image] = [node.name for node in lacking]
    return loaded


def full_name(image: str) -> str:
    """Give the name under which a node knows an image: with registry, and with a tag."""
    first, slash, rest = image.partition("/")
    if not slash:
        first, rest = "docker.io/library", image
    elif "." not in first and ":" not in first and first != "localhost":
        first, rest = "docker.io", image
    name = f"{first}/{rest}"
    return name if ":" in rest.rpartition("/")[2] or "@" in rest else f"{name}:latest"


def _load_one(image: str, nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    with tempfile.TemporaryDirectory(prefix="llmi-load-") as folder:
        saved, thin = Path(folder) / "saved.tar", Path(folder) / "thin.tar"
        _checked(["docker", "save", "--output", str(saved), image])
        # Only layers that every one of these nodes has may stay out; a big lower layer is sent once, not at each edit.
        had = set.intersection(*pool.map(_layers_in, nodes))
        archive = thin if write_thin(saved, full_name(image), had, thin) else saved
        list(pool.map(lambda node: _import(archive, node), nodes))


def _import(archive: Path, node: Node) -> None:
    importing = ["ctr", *_IN_NODE, "images", "import", "--all-platforms"]
    if node.is_ours:  # a fifth faster; whether another containerd knows the flag is not known
        importing.append("--local")
    argv = ["docker", "exec", "--interactive", node.name, *importing, "-"]
    with archive.open("rb") as content:
        done = subprocess.run(argv, stdin=content, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)


def _ids_in(node: Node) -> dict[str, str]:
    text = _checked(["docker", "exec", node.name, "crictl", "images", "--output", "json"])
    return {tag: item["id"] for item in json.loads(text)["images"] for tag in item.get("repoTags") or []}


def _layers_in(node: Node) -> set[str]:
    return set(_checked(["docker", "exec", node.name, "ctr", *_IN_NODE, "content", "ls", "--quiet"]).split())


def _checked(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)
    return done.stdout
