"""Brings images of the local Docker into the nodes of the kind cluster."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import IO

from docker_engine import image_id
from kind_cluster import Node
from problems import CommandFailed, Problem

_CHUNK = 1 << 20


def load(images: list[str], nodes: list[Node]) -> dict[str, list[str]]:
    """Load each image into the nodes that lack it, all nodes at once; tell per image which nodes got it."""
    ids = {image: image_id(image) for image in images}
    if unknown := [image for image, found in ids.items() if found is None]:
        raise Problem(
            f"Docker has no image {', '.join(unknown)}.", "build it first (`docker images` lists what there is)"
        )
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        present = dict(zip([n.name for n in nodes], pool.map(lambda n: _ids_in(n, images), nodes), strict=True))
    loaded: dict[str, list[str]] = {}
    for image in images:
        lacking = [n.name for n in nodes if present[n.name].get(image) != ids[image]]
        if lacking:
            _stream(image, lacking)
        loaded[image] = lacking
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


def _ids_in(node: Node, images: list[str]) -> dict[str, str]:
    argv = ["docker", "exec", node.name, "crictl", "images", "--output", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)
    tags = {tag: item["id"] for item in json.loads(done.stdout)["images"] for tag in item.get("repoTags") or []}
    return {image: tags[full_name(image)] for image in images if full_name(image) in tags}


def _stream(image: str, names: list[str]) -> None:
    """Save the image once and write it to all nodes side by side, without a copy on disk in between."""
    importing = ["ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "--digests", "-"]
    with ExitStack() as stack:
        save = stack.enter_context(subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE))
        targets = {
            name: stack.enter_context(
                subprocess.Popen(
                    ["docker", "exec", "--interactive", name, *importing],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
            )
            for name in names
        }
        source = save.stdout
        assert source is not None  # noqa: S101  (it is a pipe)
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            while chunk := source.read(_CHUNK):
                # The slowest node sets the pace; a node that has gone makes its own error below.
                list(pool.map(lambda t, c=chunk: _write(t.stdin, c), targets.values()))
        for name, target in targets.items():
            _, error = target.communicate()
            if target.returncode != 0:
                raise CommandFailed(["import", image, "on", name], target.returncode, error.decode(errors="replace"))
        if save.wait() != 0:
            raise CommandFailed(["docker", "save", image], save.returncode)


def _write(pipe: IO[bytes] | None, chunk: bytes) -> None:
    try:
        if pipe is not None:
            pipe.write(chunk)
    except BrokenPipeError:
        return
