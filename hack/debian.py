"""Debian trees made by debootstrap: one for the nodes, one for the base images of our own Dockerfiles."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from cache import Artifact, key_of, remove_tree
from problems import MissingTool
from steps import Step, sh

SUITE = "bookworm"
NODE_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "iptables", "iproute2", "ethtool", "socat", "conntrack", "mount", "kmod"),
    *("procps", "runc", "containernetworking-plugins"),
)
RUNTIME_PACKAGES = ("python3",)
BUILD_PACKAGES = ("python3-venv",)
PYTHON_LIBRARY = ("libpython3.11", "libpython3.11.so.1.0")
NUMA_LIBRARY = ("libnuma1", "libnuma.so.1")

# Nothing of this is used by a program at run time.
NOT_NEEDED = (
    *("./proc/*", "./sys/*", "./dev/*", "./run/*", "./tmp/*", "./var/cache/*", "./var/log/*", "./var/lib/apt/lists/*"),
    *("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/info/*", "./usr/share/locale/*", "./usr/share/lintian/*"),
    *("./usr/share/bash-completion/*", "./usr/share/bug/*", "./usr/sbin/policy-rc.d", "./etc/resolv.conf"),
)
# The runtime base is for Python programs that install nothing: character set tables, Perl and apt can go.
NOT_NEEDED_AT_RUN_TIME = (
    *NOT_NEEDED,
    *("./usr/lib/*-linux-gnu/gconv", "./usr/lib/*-linux-gnu/perl-base", "./usr/bin/perl*", "./usr/share/perl5"),
    *("./usr/bin/apt*", "./usr/lib/apt", "./usr/lib/*-linux-gnu/libapt-p*", "./usr/share/zoneinfo/right"),
)


def base_tree() -> Artifact:
    """A minimal Debian, as ``rootfs.tar``."""
    return Artifact("debian", key_of(SUITE, "minbase+ca-certificates"))


def node_tree() -> Artifact:
    """What a node needs, as a tree ``rootfs`` and the same as ``rootfs.tar``."""
    return Artifact("debian-node", key_of(base_tree().key, *NODE_PACKAGES, *NOT_NEEDED))


def python_trees() -> Artifact:
    """The base images: ``runtime.tar`` and ``build.tar``."""
    inputs = (base_tree().key, *RUNTIME_PACKAGES, *BUILD_PACKAGES, *NOT_NEEDED_AT_RUN_TIME)
    return Artifact("debian-python", key_of(*inputs))


def library(of: tuple[str, str], log: Path) -> Path:
    """Give a library that the runtime base lacks, by its package and name; taken from the package the first time."""
    package, name = of
    taken = Artifact(f"debian-{package}", key_of(base_tree().key, *of))

    def make(target: Path) -> None:
        base_tree().build(lambda folder: _debootstrap(folder, log))
        tree = _unpack(target / "rootfs", log)
        _install(tree, (package,), log)
        (found,) = tree.glob(f"usr/lib/*-linux-gnu/{name}")
        shutil.copyfile(found, target / name)
        remove_tree(tree)

    taken.build(make)
    return taken.path / name


def steps() -> list[Step]:
    """Give the steps that make the three; the last two run side by side."""
    remedy = "check that Debian's package mirror answers, then run the same command again"
    first = "Debian base system"
    wanted = (node_tree(), python_trees())
    return [
        Step(
            first,
            lambda log: base_tree().build(lambda target: _debootstrap(target, log)),
            skip_if=lambda: base_tree().is_built() or all(a.is_built() for a in wanted),
            remedy=remedy,
        ),
        Step(
            "Debian packages of the node",
            lambda log: node_tree().build(lambda target: _make_node(target, log)),
            after=(first,),
            skip_if=node_tree().is_built,
            remedy=remedy,
        ),
        Step(
            "Debian packages of the base images",
            lambda log: python_trees().build(lambda target: _make_python(target, log)),
            after=(first,),
            skip_if=python_trees().is_built,
            remedy=remedy,
        ),
    ]


def _debootstrap(target: Path, log: Path) -> None:
    if os.geteuid() != 0:
        raise MissingTool(
            "Building without an image registry makes a Debian tree, which only root can do.",
            "run the command as root, or use a machine where images can be pulled (--mode pull)",
        )
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise MissingTool("There is no debootstrap on PATH.", "apt-get install debootstrap debian-archive-keyring")
    tree = target / "rootfs"
    sh([program, "--variant=minbase", "--include=ca-certificates", SUITE, tree], log)
    _pack(tree, target / "rootfs.tar", ("./proc/*", "./sys/*", "./dev/*", "./var/cache/apt/archives/*.deb"), log)
    remove_tree(tree)


def _make_node(target: Path, log: Path) -> None:
    tree = _unpack(target / "rootfs", log)
    _install(tree, NODE_PACKAGES, log)
    _pack(tree, target / "rootfs.tar", NOT_NEEDED, log)


def _make_python(target: Path, log: Path) -> None:
    tree = _unpack(target / "rootfs", log)
    _install(tree, RUNTIME_PACKAGES, log)
    _pack(tree, target / "runtime.tar", NOT_NEEDED_AT_RUN_TIME, log)
    _install(tree, BUILD_PACKAGES, log)
    _pack(tree, target / "build.tar", NOT_NEEDED, log)
    remove_tree(tree)


def _unpack(tree: Path, log: Path) -> Path:
    tree.mkdir()
    sh(["tar", "-C", tree, "-xpf", base_tree().path / "rootfs.tar"], log)
    (tree / "dev/null").touch()  # a plain file is enough for package scripts, and needs no device
    shutil.copyfile("/etc/resolv.conf", tree / "etc/resolv.conf")
    policy = tree / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\n# no service may start inside this tree\nexit 101\n")
    policy.chmod(0o755)
    (tree / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")  # the tree is thrown away on a crash
    return tree


def _install(tree: Path, packages: tuple[str, ...], log: Path) -> None:
    # /proc is mounted in a mount namespace of its own, so nothing can stay mounted behind.
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -c "$1"'
    names = " ".join(packages)
    inside = f"apt-get -q update && apt-get -q install -y --no-install-recommends {names}"
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108
    sh(["unshare", "--mount", "sh", "-c", script, tree, inside], log, environment)


def _pack(tree: Path, tar: Path, without: tuple[str, ...], log: Path) -> None:
    excludes = [f"--exclude={pattern}" for pattern in without]
    sh(["tar", "-C", tree, "--sort=name", "--numeric-owner", *excludes, "-cf", tar, "."], log)


def libraries_of(tree: Path, programs: list[str]) -> list[str]:
    """Ask the tree's own loader which libraries some programs of it need."""
    argv = ["chroot", str(tree), "ldd", *programs]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return sorted({word for word in text.split() if word.startswith("/") and not word.endswith(":")})
