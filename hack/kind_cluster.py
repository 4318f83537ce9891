"""The kind cluster itself: its configuration, and making, judging and removing it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import egress
import gobuild
from cache import cache_root
from kubectl import Kubectl, whats_missing
from mode import PULLED_NODE_IMAGE, Mode
from node_image import METRICS_TAG, node_image
from problems import CommandFailed, Problem, Unhealthy
from steps import pause, say, sh

ROOT = Path(__file__).resolve().parent.parent
NAME = "llminference"
KUBECONFIG = ROOT / "build" / "kubeconfig"
# Not kind's defaults: a Kubernetes on the machine itself may use those, and bridged traffic between nodes
# passes the machine's iptables.
POD_SUBNET, SERVICE_SUBNET = "10.250.0.0/16", "10.251.0.0/16"
NODE_PORTS = (30080, 30081, 30082)
READY_SECONDS = 240.0
OLDEST_KIND = (0, 32)
METRICS_MANIFEST = Path(__file__).resolve().parent / "manifests" / "metrics-server.yaml"

# A person, a demo and a test look at autoscaling for minutes, not for the quarter of an hour of the defaults.
_AUTOSCALER = {
    "horizontal-pod-autoscaler-sync-period": "5s",
    "horizontal-pod-autoscaler-cpu-initialization-period": "20s",
    "horizontal-pod-autoscaler-initial-readiness-delay": "10s",
}

# What kind's output says → what to do about it.
_KNOWN_CAUSES = {
    "unable to apply caps": "this machine withholds CAP_SYS_RESOURCE from Docker's privileged containers: stop that "
    "Docker and run `up` again (a Docker that `up` starts works around it), or use another machine",
    "too many open files": "sudo sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288",
    "port is already allocated": "another container publishes the port: find it with `docker ps` and stop it",
    "no space left on device": "free some disk: `docker system df` shows what Docker holds",
}


@dataclass(frozen=True)
class Node:
    """A node's container."""

    name: str
    image: str
    is_running: bool

    @property
    def is_ours(self) -> bool:
        """Tell whether its image was built here."""
        return self.image.startswith("llminference/")

    @property
    def is_worker(self) -> bool:
        """Tell whether ordinary pods run on it; the control plane of a cluster with workers is kept free of them."""
        return not self.name.endswith("-control-plane")


def nodes() -> list[Node]:
    """List the containers of our cluster."""
    form = "{{.Names}}\t{{.Image}}\t{{.State}}"
    argv = ["docker", "ps", "--all", "--filter", f"label=io.x-k8s.kind.cluster={NAME}", "--format", form]
    text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    rows = [line.split("\t") for line in text.splitlines()]
    return sorted((Node(name, image, state == "running") for name, image, state in rows), key=lambda n: n.name)


def workers() -> list[Node]:
    """List the nodes that run ordinary pods."""
    present = nodes()
    return [node for node in present if node.is_worker] or present


def mode_of(present: list[Node]) -> Mode:
    """Tell how a cluster that exists got its images."""
    return Mode.BUILD if any(n.is_ours for n in present) else Mode.PULL


def image_for(mode: Mode) -> str:
    """Name the node image of a mode."""
    return node_image() if mode is Mode.BUILD else PULLED_NODE_IMAGE


def configuration(mode: Mode, workers: int) -> dict[str, object]:
    """Give kind's configuration (JSON is YAML)."""
    ports = [{"containerPort": p, "hostPort": p, "listenAddress": "127.0.0.1"} for p in NODE_PORTS]
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration", "failCgroupV1": False}
    if mode is Mode.BUILD:
        # Our node image has no systemd slices for pods: the plain driver works on cgroup v1, hybrid and v2.
        kubelet["cgroupDriver"] = "cgroupfs"
    image = image_for(mode)
    arguments = [
        {"op": "add", "path": "/controllerManager/extraArgs/-", "value": {"name": name, "value": value}}
        for name, value in _AUTOSCALER.items()
    ]
    patch = {
        "group": "kubeadm.k8s.io",
        "version": "v1beta4",
        "kind": "ClusterConfiguration",
        "patch": json.dumps(arguments),
    }
    control_plane = {"role": "control-plane", "image": image, "extraPortMappings": ports}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": NAME,
        "networking": {
            "ipFamily": "ipv4",
            "apiServerAddress": "127.0.0.1",
            "podSubnet": POD_SUBNET,
            "serviceSubnet": SERVICE_SUBNET,
            "kubeProxyMode": "iptables",
        },
        "nodes": [control_plane, *({"role": "worker", "image": image} for _ in range(workers))],
        "kubeadmConfigPatches": [json.dumps(kubelet)],
        "kubeadmConfigPatchesJSON6902": [patch],
    }


def kind_program(mode: Mode) -> Path:
    """Find kind: that of the person where images are pulled, else our own."""
    own = gobuild.kind().path("kind")
    if mode is Mode.PULL and not own.exists() and (found := shutil.which("kind")):
        said = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
        if is_new_enough(said):
            return Path(found)
    return own


def is_new_enough(said: str) -> bool:
    """Judge what ``kind version`` prints: node images of today need a kind of today."""
    found = re.search(r"v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST_KIND


def kubectl() -> Kubectl:
    """Find a kubectl for our cluster: ours, the person's, or a copy of the node's."""
    ours = gobuild.kubernetes().path("kubectl")
    if ours.exists():
        return Kubectl(ours, KUBECONFIG)
    if found := shutil.which("kubectl"):
        return Kubectl(Path(found), KUBECONFIG)
    copy = cache_root() / f"pulled-{PULLED_NODE_IMAGE.rpartition(':')[2]}" / "kubectl"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        argv = ["docker", "cp", f"{NAME}-control-plane:/usr/bin/kubectl", str(copy)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailed(argv, done.returncode, done.stderr)
    return Kubectl(copy, KUBECONFIG)


def create(mode: Mode, workers: int, log: Path) -> None:
    """Make the cluster; in an offline one the network is locked before the first node exists."""
    _check_ports()
    _remember_lib_modules()
    egress.ensure_network()
    if mode is Mode.BUILD:
        egress.lock()
    config = ROOT / "build" / "kind.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps(configuration(mode, workers), indent=2))
    files = ["--config", str(config), "--kubeconfig", str(KUBECONFIG)]
    try:
        sh([kind_program(mode), "create", "cluster", *files], log, {"KIND_EXPERIMENTAL_DOCKER_NETWORK": egress.NETWORK})
    except CommandFailed as failure:
        said = log.read_text(errors="replace")
        for sign, remedy in _KNOWN_CAUSES.items():
            if sign in said:
                raise Problem(f"kind could not make the cluster: {sign}.", remedy) from failure
        raise


def export_kubeconfig() -> None:
    """Write the kubeconfig of a cluster that another checkout has made."""
    KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
    argv = [
        str(kind_program(mode_of(nodes()))),
        "export",
        "kubeconfig",
        "--name",
        NAME,
        "--kubeconfig",
        str(KUBECONFIG),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)


def install_metrics(log: Path) -> None:
    """Deploy metrics-server from our own manifest, which needs nothing of the outside."""
    manifest = METRICS_MANIFEST.read_text().replace("METRICS_TAG", METRICS_TAG)
    with log.open("a") as out:
        out.write(kubectl()("apply", "-f", "-", stdin=manifest))


def wait_until_ready(count: int, seconds: float = READY_SECONDS) -> None:
    """Wait for nodes, pod network, kube-proxy, CoreDNS and metrics; kind itself waits for less."""
    deadline = time.monotonic() + seconds
    told = ""
    while missing := whats_missing(kubectl(), nodes=count):
        if time.monotonic() > deadline:
            raise Unhealthy(
                f"The cluster is not ready after {seconds:.0f} s: {'; '.join(missing)}.",
                f"KUBECONFIG={KUBECONFIG} kubectl -n kube-system get pods, and describe what is not Running",
            )
        if (now := f"{len(missing)} to go: {missing[0]}") != told:
            say(f"waiting for the cluster, {now}")
            told = now
        pause(1)


def delete(log: Path) -> None:
    """Remove the nodes with their volumes, the network and the lock."""
    if present := nodes():
        with ThreadPoolExecutor(max_workers=len(present)) as pool:
            list(pool.map(lambda node: sh(["docker", "rm", "--force", "--volumes", node.name], log), present))
    egress.remove_network()
    KUBECONFIG.unlink(missing_ok=True)


def _check_ports() -> None:
    for port in NODE_PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise Problem(
                    f"Port {port} of 127.0.0.1, which the cluster publishes for NodePorts, is in use ({error}).",
                    f"find its owner with `ss -ltnp 'sport = :{port}'` and stop it, then run the same command again",
                ) from error


def _remember_lib_modules() -> None:
    # kind mounts /lib/modules into its nodes; where there is none, docker makes an empty folder on the machine.
    if not Path("/lib/modules").exists():
        _lib_modules_mark().parent.mkdir(parents=True, exist_ok=True)
        _lib_modules_mark().touch()


def forget_lib_modules() -> None:
    """Remove the empty folder that docker made on the machine, if it was one of ours."""
    if _lib_modules_mark().exists():
        _lib_modules_mark().unlink()
        if Path("/lib/modules").is_dir() and not any(Path("/lib/modules").iterdir()):
            Path("/lib/modules").rmdir()


def _lib_modules_mark() -> Path:
    return cache_root() / "engine" / "made-lib-modules"
