"""The kind node image, made of a Debian tree, our programs, and the cluster's own images already imported."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import debian
import gobuild
import oci
from cache import Artifact, key_of, locked, remove_tree
from docker_engine import has_image, import_image, legacy_builder
from oci import Image, write_archive
from problems import Problem
from steps import Step, sh

NODE_DIR = gobuild.NODE_DIR
REGISTRY = "registry.k8s.io"
# Tags that kubeadm asks for; what is inside comes from hack/node/kubernetes/go.mod (etcd 3.6.13, CoreDNS 1.14.7).
ETCD_TAG, COREDNS_TAG, PAUSE_TAG, METRICS_TAG = "3.6.8-0", "v1.14.2", "3.10.2", "v0.9.0"
CONTAINERD_START_SECONDS = 20.0

_XTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
_CONTENT_ONLY = """version = 3
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri",
  "io.containerd.podsandbox.controller.v1.podsandbox"]
[grpc]
  address = "{root}/sock"
"""


def _inputs_key() -> str:
    parts = (gobuild.kubernetes(), gobuild.cluster_parts(), gobuild.containerd())
    keys = [p.artifact.key for p in parts]
    tags = (ETCD_TAG, COREDNS_TAG, PAUSE_TAG, METRICS_TAG, _CONTENT_ONLY)
    recipe = (Path(__file__), Path(oci.__file__), NODE_DIR / "files", NODE_DIR / "Dockerfile")
    return key_of(*keys, debian.node_tree().key, *tags, *recipe)


def node_image() -> str:
    """Name the node image; its tag changes when anything that goes into it changes."""
    return f"llminference/node:v{gobuild.KUBERNETES_VERSION}-{_inputs_key()}"


def base_image() -> str:
    """Name the image of the Debian tree that the node image starts from."""
    return f"llminference/node-base:{debian.node_tree().key}"


def build(log: Path) -> None:
    """Build the node image; a docker daemon must be there."""
    with locked("node-image"):
        if not has_image(node_image()):  # another process may have built it while we waited
            _build(log)


def _build(log: Path) -> None:
    work = Artifact("node-image", _inputs_key())
    scratch = work.path.with_suffix(".part")
    remove_tree(scratch)
    context = scratch / "context"
    (context / "usr/bin").mkdir(parents=True)
    try:
        _fill_context(context, log)
        _import_content(context / "var/lib/containerd", scratch, log)
        base = base_image()
        if not has_image(base):
            import_image(debian.node_tree().path / "rootfs.tar", base, log)
        shutil.copy(NODE_DIR / "Dockerfile", scratch)
        arguments = ["--build-arg", f"BASE_IMAGE={base}", "-t", node_image()]
        sh(["docker", "build", *arguments, scratch], log, legacy_builder())
    finally:
        remove_tree(scratch)


def step(after: tuple[str, ...]) -> Step:
    """Give the step that builds the node image, unless docker has it."""
    return Step("building the node image", build, after=after, skip_if=lambda: has_image(node_image()))


def _fill_context(context: Path, log: Path) -> None:
    sh(["cp", "-a", f"{NODE_DIR / 'files'}/.", context], log)
    binaries = context / "usr/bin"
    kubernetes, runtime = gobuild.kubernetes(), gobuild.containerd()
    programs = [kubernetes.path("hyper"), gobuild.cluster_parts().path("crictl")]
    programs += [runtime.path(name) for name in ("containerd", "containerd-shim-runc-v2", "ctr")]
    for program in programs:
        shutil.copy(program, binaries)
    for name in ("kubelet", "kubeadm", "kubectl"):
        (binaries / name).symlink_to("hyper")


def _inner_images() -> list[Image]:
    parts, version = gobuild.cluster_parts(), f"v{gobuild.KUBERNETES_VERSION}"
    xtables = _xtables_files()
    path = "/usr/local/bin:/usr/sbin"
    hyper: dict[str, Path | str] = {"usr/local/bin/hyper": gobuild.kubernetes().path("hyper"), **xtables}
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd")
    hyper |= {f"usr/local/bin/{name}": "hyper" for name in programs}
    # One image under five names: kubeadm wants one for each program.
    names = (*(f"{REGISTRY}/{name}:{version}" for name in programs[:-1]), f"{REGISTRY}/etcd:{ETCD_TAG}")
    folders = ("etc", "run", "tmp", "var")
    return [
        Image(names, hyper, path=path, folders=folders),
        Image(
            ("docker.io/llminference/labnet:1",),
            {"usr/local/bin/labnet": parts.path("labnet"), **xtables},
            entrypoint=("/usr/local/bin/labnet",),
            path=path,
            folders=folders,
        ),
        _single(f"{REGISTRY}/coredns/coredns:{COREDNS_TAG}", parts.path("coredns")),
        _single(f"{REGISTRY}/metrics-server/metrics-server:{METRICS_TAG}", parts.path("metrics-server")),
        _single(f"{REGISTRY}/pause:{PAUSE_TAG}", parts.path("pause")),
    ]


def _single(name: str, program: Path) -> Image:
    return Image((name,), {program.name: program}, entrypoint=(f"/{program.name}",), folders=("tmp",))


def _xtables_files() -> dict[str, Path | str]:
    """Take iptables with its extensions from the Debian tree, and all libraries that any of them needs.

    Without one of them (libm, for libxt_statistic) every sync of kube-proxy fails, and what is sent to the address
    of a Service leaves the node by its default route.
    """
    tree = debian.node_tree().path / "rootfs"
    extensions = sorted(tree.glob("usr/lib/*-linux-gnu/xtables/*.so"))
    inside = [f"/{path.relative_to(tree)}" for path in extensions]
    files: dict[str, Path | str] = {name.lstrip("/"): tree / name.lstrip("/") for name in inside}
    for library in debian.libraries_of(tree, ["/usr/sbin/xtables-nft-multi", *inside]):
        # /lib is a link to /usr/lib in Debian: files go to the real folder, and the image gets the same links.
        real = (tree / library.lstrip("/")).parent.resolve().relative_to(tree) / Path(library).name
        files[str(real)] = _follow(tree, tree / real)
    files["usr/sbin/xtables-nft-multi"] = tree / "usr/sbin/xtables-nft-multi"
    files |= {f"usr/sbin/{name}": "xtables-nft-multi" for name in _XTABLES}
    return files | {name: f"usr/{name}" for name in ("lib", "lib64") if (tree / name).is_symlink()}


def _follow(tree: Path, path: Path) -> Path:
    """Follow links as a program inside the tree would: an absolute one starts at the tree's root."""
    while path.is_symlink():
        target = path.readlink()
        path = tree / str(target).lstrip("/") if target.is_absolute() else path.parent / target
    return path.resolve()


def _import_content(root: Path, scratch: Path, log: Path) -> None:
    """Let a containerd that runs nothing import the images; what it wrote becomes that of each node."""
    archive = scratch / "images.tar"
    write_archive(_inner_images(), archive)
    place = scratch / "containerd"
    place.mkdir()
    (place / "config.toml").write_text(_CONTENT_ONLY.format(root=place))
    runtime = gobuild.containerd()
    with log.open("ab") as out:
        argv = [str(runtime.path("containerd")), "--config", str(place / "config.toml")]
        process = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)
        try:
            _wait_for_socket(place / "sock", process)
            # Not unpacked: overlay file systems do not stack on that of the image build.
            ctr = [str(runtime.path("ctr")), "-a", str(place / "sock"), "-n", "k8s.io"]
            sh([*ctr, "images", "import", "--no-unpack", "--all-platforms", archive], log)
            sh([*ctr, "images", "ls"], log)
        finally:
            process.terminate()
            process.wait()
    remove_tree(place / "root" / "tmpmounts")
    root.parent.mkdir(parents=True, exist_ok=True)
    (place / "root").rename(root)


def _wait_for_socket(socket: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + CONTAINERD_START_SECONDS
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise Problem("containerd, started to import the cluster's images, did not come up.")
        time.sleep(0.1)
