"""Brings up, fills and removes the cluster that demo and tests use: ``python hack/cluster.py --help``.

Environment: ``CLUSTER=kind`` (default) or ``current`` (the cluster of the current kubeconfig, after asking, or with
``CLUSTER_YES=1``; it is only looked at), ``CLUSTER_MODE=auto|pull|build``, ``LLMI_CACHE`` (folder of what was built).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import current
import egress
import gobuild
import kind_cluster
from bringing_up import WORKERS, bring_up
from cache import cache_root, locked, remove_cache
from docker_engine import answers, image_ids, own_docker_pid, remove_own_docker_data, stop_own_docker
from kubectl import whats_missing
from loading import load
from mode import Mode
from problems import CommandFailed, Problem, Refused, Unhealthy
from steps import Step, run_steps, say, sh, tell_and_exit

APISERVER_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


def main(argv: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    options = _parser().parse_args(argv)
    if os.environ.get("CLUSTER", "kind") not in {"kind", "current"}:
        raise Refused(f"CLUSTER={os.environ['CLUSTER']} means nothing.", "use CLUSTER=kind or CLUSTER=current")
    commands = {
        "up": _up,
        "down": _down,
        "load": _load,
        "status": _status,
        "kubeconfig": _kubeconfig,
        "bin": _bin,
        "apiserver-bin": _apiserver_bin,
    }
    commands[options.command](options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The cluster of demo and tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the cluster up; nothing happens if it runs and is healthy")
    up.add_argument("--workers", type=int, help=f"nodes besides the control plane (default {WORKERS})")
    up.add_argument(
        "--mode",
        type=Mode,
        choices=list(Mode),
        default=os.environ.get("CLUSTER_MODE", "auto"),
        help="pull the images, build them, or choose by whether a registry answers",
    )
    down = commands.add_parser("down", help="remove the cluster, its network and its lock; stop a Docker of ours")
    down.add_argument("--all", action="store_true", help="also everything that was built and cached")
    loading = commands.add_parser("load", help="bring images of the local Docker into the nodes")
    loading.add_argument("images", nargs="+", metavar="IMAGE")
    loading.add_argument("--workers-only", action="store_true", help="leave the control plane out: a third less work")
    commands.add_parser("status", help="tell how the cluster does; fails when it is not healthy")
    commands.add_parser("kubeconfig", help="print the path of the cluster's kubeconfig")
    program = commands.add_parser("bin", help="print the path of a program, building it if need be")
    program.add_argument("name", choices=["kind", *gobuild.HYPER_PROGRAMS])
    commands.add_parser("apiserver-bin", help=f"print the folder with {', '.join(APISERVER_PROGRAMS)}")
    return parser


def _up(options: argparse.Namespace) -> None:
    if current.is_chosen():
        current.check()
        return
    bring_up(Mode(options.mode), options.workers)


def _down(options: argparse.Namespace) -> None:
    if current.is_chosen():
        say("CLUSTER=current: that cluster is not ours, nothing is removed.")
        return
    with _alone():
        if answers():
            if options.all:
                run_steps([Step("removing the cluster and its images", _remove_images)])
            else:
                run_steps([Step("removing the cluster", kind_cluster.delete)])
        if os.geteuid() == 0:
            with contextlib.suppress(FileNotFoundError, Problem):
                egress.unlock()
        if stop_own_docker():
            say("Stopped the dockerd that we had started.")
        kind_cluster.forget_lib_modules()
        if options.all:
            remove_own_docker_data()
            remove_cache()
    say(
        "The cluster is gone."
        if not options.all
        else f"The cluster is gone, and all that was cached in {cache_root()}."
    )


def _remove_images(log: Path) -> None:
    kind_cluster.delete(log)
    if own_docker_pid():
        return  # all its data goes
    left = []
    for identity in image_ids("llminference/*"):
        try:
            sh(["docker", "image", "rm", "--force", identity], log)
        except CommandFailed:
            left.append(identity)
    if left:
        # Nameless stages of an earlier build stand on them; whether those may go is not ours to say.
        say(f"Docker keeps {', '.join(left)} for nameless images: `docker image prune` removes both.")


def _load(options: argparse.Namespace) -> None:
    if current.is_chosen():
        say("CLUSTER=current: images are not loaded; the cluster must be able to pull them.")
        return
    started = time.monotonic()
    present = _present()
    workers = [node for node in present if node.is_worker]
    for image, names in load(options.images, workers if options.workers_only and workers else present).items():
        say(f"{image}: loaded into {', '.join(names)}" if names else f"{image}: every node has it")
    say(f"done in {time.monotonic() - started:.1f} s")


def _status(_: argparse.Namespace) -> None:
    if current.is_chosen():
        current.check()
        return
    present = _present()
    mode = kind_cluster.mode_of(present)
    say(f"mode       {mode} ({present[0].image})")
    say(f"nodes      {', '.join(n.name for n in present)}")
    say(f"kubeconfig {kind_cluster.KUBECONFIG}")
    say(f"docker     {f'dockerd {pid}, started by us' if (pid := own_docker_pid()) else 'not started by us'}")
    say(f"cache      {cache_root()}")
    if mode is Mode.BUILD:
        egress.check()
        say("egress     locked: nothing of the cluster leaves this machine")
    else:
        say("egress     open: images are pulled")
    if missing := whats_missing(kind_cluster.kubectl(), nodes=len(present)):
        raise Unhealthy(f"The cluster is not healthy: {'; '.join(missing)}.", "python hack/cluster.py up")
    say("health     all nodes Ready, DNS, pod network and metrics available")


def _kubeconfig(_: argparse.Namespace) -> None:
    print(current.kubeconfig() if current.is_chosen() else kind_cluster.KUBECONFIG)


def _bin(options: argparse.Namespace) -> None:
    programs = gobuild.kind() if options.name == "kind" else gobuild.kubernetes()
    if not programs.artifact.is_built() and options.name == "kubectl" and answers() and kind_cluster.nodes():
        print(kind_cluster.kubectl().program)
        return
    _build_quietly(programs)
    print(programs.path(options.name))


def _apiserver_bin(_: argparse.Namespace) -> None:
    programs = gobuild.kubernetes()
    _build_quietly(programs)
    print(programs.artifact.path)


def _build_quietly(programs: gobuild.Programs) -> None:
    if programs.artifact.is_built():
        return
    # Only the answer may appear on stdout: callers read it.
    with contextlib.redirect_stdout(sys.stderr):
        run_steps([programs.step()])


def _present() -> list[kind_cluster.Node]:
    present = kind_cluster.nodes() if answers() else []
    if not present:
        raise Unhealthy("There is no cluster.", "python hack/cluster.py up")
    if stopped := [n.name for n in present if not n.is_running]:
        raise Unhealthy(f"These nodes do not run: {', '.join(stopped)}.", "python hack/cluster.py up")
    return present


def _alone() -> AbstractContextManager[None]:
    return locked("cluster", lambda: say("another run is making or removing the cluster; waiting for it"))


if __name__ == "__main__":
    tell_and_exit(main)
