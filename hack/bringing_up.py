"""``up``: decides what has to be done, and does it as steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import debian
import egress
import gobuild
import kind_cluster
import node_image
from cache import locked
from docker_engine import answers, ensure_docker, ensure_packages, has_image, import_image, remove_other_tags
from kubectl import whats_missing
from mode import PULLED_NODE_IMAGE, Choice, Mode, choose, registry_answers
from problems import Unhealthy, Unlocked
from steps import Step, run_steps, say, sh

RECOVER_SECONDS = 30.0
BASE_IMAGE = "llminference/base"
WORKERS = 2

Beside = Callable[[Mode, tuple[str, ...]], list[Step]]


def _nothing_beside(_: Mode, __: tuple[str, ...]) -> list[Step]:
    return []


def bring_up(
    wanted: Mode,
    workers: int | None,
    beside: Beside = _nothing_beside,
) -> None:
    """Leave a healthy cluster, whatever was there before; without a number, one that runs may keep its workers.

    ``beside`` gives steps that run at the same time: called with the mode, and with the steps that they must wait for.
    """
    with locked("cluster", lambda: say("another run is making or removing the cluster; waiting for it")):
        _bring_up(wanted, workers, beside)


def _bring_up(wanted: Mode, workers: int | None, beside: Beside) -> None:
    started = time.monotonic()
    was_running = answers()
    if not was_running:
        run_steps([Step("Docker", ensure_docker)])
    present = kind_cluster.nodes()
    if present:
        # Nodes that were stopped with Docker come back with other addresses, or not at all.
        why = _why_not_usable(present, wanted, workers) if was_running else "Docker did not run, nor did its nodes"
        if why is None:
            say(f"The cluster is up and healthy; KUBECONFIG={kind_cluster.KUBECONFIG}")
            run_steps(beside(kind_cluster.mode_of(present), ()))
            return
        say(f"The cluster is made anew: {why}.")
    choice = choose(wanted, is_local=has_image, is_answered=registry_answers)
    say(f"Mode {choice.mode}: {choice.why}.")
    steps = build_steps() if choice.mode is Mode.BUILD else pull_steps()
    create = _create_steps(choice, WORKERS if workers is None else workers, tuple(s.name for s in steps))
    bases = ("base images",) if choice.mode is Mode.BUILD else ()
    run_steps([*steps, *create, *beside(choice.mode, bases)])
    say(f"The cluster is up after {time.monotonic() - started:.0f} s; KUBECONFIG={kind_cluster.KUBECONFIG}")


def _why_not_usable(present: list[kind_cluster.Node], wanted: Mode, workers: int | None) -> str | None:
    mode = kind_cluster.mode_of(present)
    if wanted is not Mode.AUTO and wanted is not mode:
        return f"it was made in mode {mode}, and mode {wanted} is asked for"
    if any(n.image != kind_cluster.image_for(mode) for n in present):
        return "its node image is not the one that the files in hack/ make now"
    if workers is not None and len(present) != workers + 1:
        return f"it has {len(present) - 1} workers, and {workers} are asked for"
    if any(not n.is_running for n in present):
        return "some of its nodes do not run"
    if mode is Mode.BUILD:
        _keep_locked()
    if not kind_cluster.KUBECONFIG.exists():
        kind_cluster.export_kubeconfig()
    return _why_not_healthy(len(present))


def _keep_locked() -> None:
    try:
        egress.check()
    except Unlocked:
        say("The egress lock was gone; it is put back.")
        egress.lock()


def _why_not_healthy(count: int) -> str | None:
    missing = whats_missing(kind_cluster.kubectl(), nodes=count)
    if not missing:
        return None
    say(f"The cluster is not healthy ({'; '.join(missing)}); giving it {RECOVER_SECONDS:.0f} s to recover.")
    try:
        kind_cluster.wait_until_ready(count, RECOVER_SECONDS)
    except Unhealthy as still:
        return still.what
    return None


def build_steps() -> list[Step]:
    """Give the steps that make everything from package registries, each skipped when its result is there."""
    programs = gobuild.cluster_programs()
    kubernetes, *others = programs

    def fetch_all(log: Path) -> None:
        for one in programs:
            if not one.artifact.is_built():
                one.fetch(log)

    packages = Step("packages of the machine", ensure_packages)
    fetch = Step(
        "fetching sources for the other builds",
        fetch_all,
        skip_if=lambda: all(p.artifact.is_built() for p in programs),
    )
    # One Go build at a time: each uses all cores. What waits for the network or a single core runs beside them.
    builds = [kubernetes.step()]
    for one in others:
        builds.append(one.step(after=(builds[-1].name, fetch.name)))
    trees = [
        Step(s.name, s.run, (*s.after, *(() if s.after else (packages.name,))), s.skip_if, s.remedy)
        for s in debian.steps()
    ]
    bases = Step("base images", _import_bases, after=(trees[-1].name,), skip_if=_has_bases)
    node = node_image.step(after=(*(b.name for b in builds), *(t.name for t in trees)))
    return [packages, fetch, *trees, *builds, bases, node]


def pull_steps() -> list[Step]:
    """Give the steps of a machine where images can be pulled."""
    image = PULLED_NODE_IMAGE
    kind = gobuild.kind()
    return [
        Step(
            f"pulling {image}",
            lambda log: sh(["docker", "pull", image], log),
            skip_if=lambda: has_image(image),
            remedy="check that the registry answers, or build the image: --mode build",
        ),
        Step(
            kind.title,
            kind.step().run,
            skip_if=lambda: kind_cluster.kind_program(Mode.PULL).exists(),
        ),
    ]


def _create_steps(choice: Choice, workers: int, after: tuple[str, ...]) -> list[Step]:
    def create(log: Path) -> None:
        kind_cluster.delete(log)
        kind_cluster.create(choice.mode, workers, log)
        if choice.mode is Mode.BUILD:
            _remove_older_images()

    return [
        Step("creating the cluster", create, after=after),
        Step("metrics-server", kind_cluster.install_metrics, after=("creating the cluster",)),
        Step(
            "waiting until nodes, DNS and metrics are ready",
            lambda _: kind_cluster.wait_until_ready(workers + 1),
            after=("metrics-server",),
        ),
    ]


def _base_tags() -> dict[str, str]:
    return {f"{BASE_IMAGE}:{debian.SUITE}": "runtime.tar", f"{BASE_IMAGE}:{debian.SUITE}-build": "build.tar"}


def _marked(name: str) -> str:
    # The tag that Dockerfiles use stays the same; this second one tells what the image was made from.
    return f"{name}-{debian.python_trees().key}"


def _has_bases() -> bool:
    return all(has_image(name) and has_image(_marked(name)) for name in _base_tags())


def _remove_older_images() -> None:
    remove_other_tags("llminference/node", {node_image.node_image()})
    remove_other_tags("llminference/node-base", {node_image.base_image()})
    remove_other_tags(BASE_IMAGE, {*_base_tags(), *map(_marked, _base_tags())})


def _import_bases(log: Path) -> None:
    for name, tar in _base_tags().items():
        changes = ("ENV LANG=C.UTF-8", 'CMD ["python3"]')
        import_image(debian.python_trees().path / tar, name, log, changes)
        sh(["docker", "tag", name, _marked(name)], log)
