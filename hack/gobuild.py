"""Builds the cluster's programs from their Go modules, which a package proxy serves where no image registry does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cache import Artifact, key_of
from problems import MissingTool, Problem
from steps import Step, sh

NODE_DIR = Path(__file__).resolve().parent / "node"
TOOLS_DIR = Path(__file__).resolve().parent / "tools"
KUBERNETES_VERSION = "1.36.3"
CONTAINERD_VERSION = "2.4.2"  # only its name: what is built is in hack/node/containerd/go.mod
HELM_VERSIONS = {3: "3.22.0", 4: "4.3.1"}  # likewise: hack/tools/helm/go.mod
HELM_KUBERNETES_MINOR = 37
STATE_METRICS_VERSION = "2.18.0"  # likewise: hack/tools/monitoring/go.mod
PROMETHEUS_VERSION = "3.13.0"  # likewise, as v0.313.0
DRA_DRIVER_VERSION = "0.4.0"  # likewise: hack/tools/dra/go.mod
KEDA_MODULE = "github.com/kedacore/keda/v2"
PROMETHEUS_OPERATOR_MODULE = "github.com/prometheus-operator/prometheus-operator"
JAEGER_MODULE = "github.com/jaegertracing/jaeger"
_HELM_3_RENDERS = ("chartutil", "lint/rules")
OLDEST_GO = (1, 21)  # the first that fetches the toolchain a go.mod asks for

# `kubectl version` and kubeadm read these; without them Kubernetes calls itself v0.0.0 and kubeadm refuses.
_VERSION_FLAGS = (
    " ".join(
        f"-X {name}=v{KUBERNETES_VERSION}"
        for name in ("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion")
    )
    + " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
)
_LD_FLAGS = f"-s -w {_VERSION_FLAGS} -X github.com/containerd/containerd/v2/version.Version=v{CONTAINERD_VERSION}"

# Read-only modules: a build uses the versions in go.mod and go.sum or fails. No C: the binaries run in any image.
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}

# In a session of its own a command competes as a group of its own, whatever its niceness (autogroup in sched(7)).
_WITH_WHAT_IS_LEFT = ("sh", "-c", '{ echo 19 >/proc/self/autogroup; } 2>/dev/null; exec nice -n 19 "$@"', "sh")

HYPER_PROGRAMS = (
    "kubectl",
    "kubeadm",
    "kubelet",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)


@dataclass(frozen=True)
class Programs:
    """Some programs of one Go module, built together.

    Attributes:
        within: A module that this one requires, in whose own folder they are built, because what it replaces counts
            only there; its go.sum is checked by ours.
    """

    artifact: Artifact
    title: str
    module: Path
    packages: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    ld_flags: str = _LD_FLAGS
    tags: str = ""
    within: str = ""

    def path(self, program: str) -> Path:
        """Where a built program lies."""
        return self.artifact.path / program

    def step(self, after: tuple[str, ...] = ()) -> Step:
        """Give the step that builds them, unless they are there."""
        return Step(
            self.title,
            lambda log: self.artifact.build(lambda target: self._build(target, log)),
            after=after,
            skip_if=self.artifact.is_built,
            remedy="if modules could not be fetched, check GOPROXY and the network, then run the same command again",
        )

    def fetch(self, log: Path) -> None:
        """Fetch the sources that the build will need, while the processor is busy with something else."""
        argv = [find_go(), "list", "-tags", self.tags, "-deps", "-f", "", *self.packages]
        sh(argv, log, _ENVIRONMENT, cwd=self.module)

    def build_meanwhile(self, log: Path) -> None:
        """Build them on the time that others leave of the processor, unless they are there.

        Raises:
            CommandFailed: The build failed, or was stopped.
        """
        self.artifact.build(lambda target: self._build(target, log, _WITH_WHAT_IS_LEFT))

    def _build(self, target: Path, log: Path, through: tuple[str, ...] = ()) -> None:
        # One command for all packages: go builds what they share once and links them side by side.
        flags = ["-tags", self.tags, "-ldflags", self.ld_flags]
        argv = [find_go(), "build", *flags, "-o", f"{target}/", *self.packages]
        folder = find_module(self.module, self.within) if self.within else self.module
        sh([*through, *argv], log, _ENVIRONMENT, cwd=folder)
        for alias in self.aliases:
            (target / alias).symlink_to("hyper")


def kubernetes() -> Programs:
    """Kubernetes, etcd and kubectl in one binary."""
    module = NODE_DIR / "kubernetes"
    key = key_of(module / "go.mod", module / "go.sum", module / "hyper", _LD_FLAGS)
    return Programs(
        Artifact("kubernetes", key),
        f"building Kubernetes {KUBERNETES_VERSION}",
        module,
        ("llminference.local/kubernetes/hyper",),
        HYPER_PROGRAMS,
    )


def kind() -> Programs:
    """The tool that makes clusters out of containers."""
    module = NODE_DIR / "kubernetes"
    key = key_of(module / "go.mod", module / "go.sum")
    return Programs(Artifact("kind", key), "building kind", module, ("sigs.k8s.io/kind",))


def cluster_parts() -> Programs:
    """What runs inside the nodes besides Kubernetes."""
    module = NODE_DIR / "kubernetes"
    sources = (module / "go.mod", module / "go.sum", module / "pause", module / "labnet")
    return Programs(
        Artifact("cluster-parts", key_of(*sources)),
        "building CoreDNS, metrics-server and the pod network",
        module,
        (
            "llminference.local/kubernetes/pause",
            "llminference.local/kubernetes/labnet",
            "github.com/coredns/coredns",
            "sigs.k8s.io/cri-tools/cmd/crictl",
            "sigs.k8s.io/metrics-server/cmd/metrics-server",
        ),
    )


def cluster_programs() -> tuple[Programs, Programs, Programs, Programs]:
    """Give what a cluster that is built here consists of, in the order in which it is built."""
    return kubernetes(), containerd(), cluster_parts(), kind()


def containerd() -> Programs:
    """The container runtime; its module is apart, because its dependencies contradict those of Kubernetes."""
    module = NODE_DIR / "containerd"
    commands = "github.com/containerd/containerd/v2/cmd"
    return Programs(
        Artifact("containerd", key_of(module / "go.mod", module / "go.sum", _LD_FLAGS)),
        "building containerd",
        module,
        (f"{commands}/containerd", f"{commands}/containerd-shim-runc-v2", f"{commands}/ctr"),
    )


def helm(major: int) -> Programs:
    """Helm, by its major version; both are of one module, so that they share what they are compiled from."""
    module, version = TOOLS_DIR / "helm", HELM_VERSIONS[major]
    # Helm 4 reads from its own build for which Kubernetes it renders when it asks no cluster; Helm 3 must be told.
    kubernetes = (f"-X helm.sh/helm/v3/pkg/{name}.k8sVersionMinor={HELM_KUBERNETES_MINOR}" for name in _HELM_3_RENDERS)
    flags = " ".join(["-s -w", f"-X helm.sh/helm/v{major}/internal/version.version=v{version}", *kubernetes])
    return Programs(
        Artifact(f"helm{major}", key_of(module / "go.mod", module / "go.sum", flags)),
        f"building Helm {version}",
        module,
        (f"helm.sh/helm/v{major}/cmd/helm",),
        ld_flags=flags,
    )


def judge() -> Programs:
    """What tests ask how GitOps tools see an object: the libraries of Flux and Argo CD, with a small main."""
    module = TOOLS_DIR / "judge"
    return Programs(
        Artifact("judge", key_of(module)), "building the judge of GitOps", module, ("llminference.local/judge",)
    )


def state_metrics() -> Programs:
    """kube-state-metrics; of one module with Prometheus, so that they share what they are compiled from."""
    return _monitoring("kube-state-metrics", STATE_METRICS_VERSION, "k8s.io/kube-state-metrics/v2")


def prometheus() -> Programs:
    """Prometheus with the discovery that our configuration uses, and no other: that of Kubernetes."""
    package = "github.com/prometheus/prometheus/cmd/prometheus"
    return _monitoring("prometheus-server", PROMETHEUS_VERSION, package, tags="remove_all_sd,enable_kubernetes_sd")


def _monitoring(name: str, version: str, package: str, tags: str = "") -> Programs:
    module = TOOLS_DIR / "monitoring"
    flags = f"-s -w -X github.com/prometheus/common/version.Version={version}"
    artifact = Artifact(name, key_of(module, flags, tags))
    return Programs(artifact, f"building {name} {version}", module, (package,), ld_flags=flags, tags=tags)


def prometheus_operator() -> Programs:
    """The Prometheus operator."""
    return _plain("prometheus-operator", "the Prometheus operator", f"{PROMETHEUS_OPERATOR_MODULE}/cmd/operator")


def collector() -> Programs:
    """OpenTelemetry's collector, with the parts that deploy/observability/tracing and tests of it use."""
    return _plain("otelcol", "the OpenTelemetry Collector", "llminference.local/otelcol")


def jaeger() -> Programs:
    """Jaeger 2, whose module calls itself 1.76; without its page, which the module does not have."""
    return _plain("jaeger", "Jaeger", "./cmd/jaeger", within=JAEGER_MODULE)


def keda() -> Programs:
    """KEDA's operator, which the long tests run: it takes 5 to 20 minutes on two cores."""
    return _plain("keda", "KEDA", "./cmd/operator", within=KEDA_MODULE)


def dra_driver() -> Programs:
    """A driver for claims of devices that do not exist, which the long tests run: it takes 3 minutes on two cores."""
    package = "sigs.k8s.io/dra-example-driver/cmd/dra-example-kubeletplugin"
    return _plain("dra", f"the DRA driver {DRA_DRIVER_VERSION}", package, name="dra-driver")


def _plain(folder: str, title: str, package: str, *, name: str = "", within: str = "") -> Programs:
    """One program of a module in a folder of hack/tools, whose go.mod and go.sum say all about it."""
    module = TOOLS_DIR / folder
    artifact = Artifact(name or folder, key_of(module))
    return Programs(artifact, f"building {title}", module, (package,), ld_flags="-s -w", within=within)


def find_module(folder: Path, module: str) -> Path:
    """Find the source of a module that the one in a folder requires; fetched once and checked against go.sum."""
    argv = [find_go(), "mod", "download", "-json", module]
    environment = {**os.environ, "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(
            f"The source of {module} could not be fetched: {(done.stderr or done.stdout).strip()}",
            "check GOPROXY and the network, then run the same command again",
        )
    return Path(json.loads(done.stdout)["Dir"])


def find_go() -> str:
    """Find a Go that can build the modules."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise MissingTool(
            "Go is needed to build the cluster's programs, and there is no `go` on PATH.",
            f"install Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer (https://go.dev/dl), then run the same command again; "
            "where images can be pulled, kind 0.32 or newer on PATH is enough",
        )
    text = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        raise MissingTool(
            f"{go} is too old: {text.strip() or 'it does not tell its version'}.",
            f"install Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer, which fetches the toolchain that the modules ask for",
        )
    return go
