"""A real Kubernetes API server for tests, as plain processes: etcd, kube-apiserver and, on request, the controllers.

    with ApiServer(controllers=True) as server:
        server.kubectl("apply", "-f", "-", stdin=manifest)
        run_operator(server.kubeconfig_for_service_account("operator", "llminference-system"))

It listens on free loopback ports with throw-away certificates, authorises by RBAC, and is ready in a few seconds.
There is no kubelet: with ``controllers`` a Deployment gets its ReplicaSet, pods and status, and deleted owners take
their dependants along, but pods stay Pending until a test writes their status. Everything lies in a temporary folder
that goes away at the end, unless the block ended with an error: then its logs are kept and their place is printed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[3]
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.05
FRONT_PROXY = "front-proxy-client"

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Request"}],
}


class ApiServerFailed(Exception):  # noqa: N818  (says what happened)
    """A process did not start, or ended; the text names it and shows the end of its log."""


def find_programs() -> Path:
    """Find the folder with the programs, building them first where that was never done (minutes)."""
    if own := os.environ.get("LLMI_APISERVER_BIN"):
        return Path(own)
    done = subprocess.run(
        [sys.executable, str(ROOT / "hack" / "cluster.py"), "apiserver-bin"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ApiServerFailed("`python hack/cluster.py apiserver-bin` failed; what it said is above.")
    return Path(done.stdout.strip())


class KubectlFailed(subprocess.CalledProcessError, AssertionError):  # noqa: N818  (says what happened)
    """kubectl did not do it; the text is what it said. Who waits for something may try again, as after an assertion."""

    def __str__(self) -> str:
        said = "\n".join(filter(None, (str(self.stderr or "").strip(), str(self.stdout or "").strip()[-2000:])))
        return f"kubectl {' '.join(self.cmd[3:])} ended with {self.returncode}: {said}"


class ApiServer:
    """An API server of its own: use it as a context manager, or call ``start`` and ``stop``.

    ``controllers`` also starts kube-controller-manager, ``scheduler`` kube-scheduler. ``autoscaler`` leaves it the
    controller of HorizontalPodAutoscalers, which looks every second then; without metrics it would only write over what
    a test says in its place, some time or other. ``audit`` writes every request to ``audit_log``, one JSON object a
    line. ``plugins`` are admission plug-ins besides those of the default.
    ``without`` are groups with their version, such as ``resource.k8s.io/v1``, that it does not serve.
    ``programs`` is the folder with the binaries.
    """

    def __init__(
        self,
        *,
        controllers: bool = False,
        scheduler: bool = False,
        autoscaler: bool = False,
        audit: bool = False,
        plugins: Sequence[str] = (),
        without: Sequence[str] = (),
        programs: Path | None = None,
    ) -> None:
        self._controllers = controllers
        self._scheduler = scheduler
        self._autoscaler = autoscaler
        self._audit = audit
        self._plugins = plugins
        self._without = without
        self._programs = programs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._port, self._etcd_port, self._peer_port = 0, 0, 0
        self.folder = Path()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop(keep_logs=error is not None)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of an administrator, who may do everything."""
        return self.folder / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """What was asked of the server, if ``audit`` was."""
        return self.folder / "audit.log"

    def start(self) -> None:
        """Start everything and come back when it is ready."""
        self._programs = self._programs or find_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="llmi-apiserver-"))
        self._port, self._etcd_port, self._peer_port = free_ports(3)
        try:
            self._make_certificates()
            self._start_etcd()
            self._start_apiserver()
            kubeconfig = str(self.kubeconfig)
            if self._controllers:
                self._start_controllers(kubeconfig)
            if self._scheduler:
                self._spawn("kube-scheduler", "--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port=0")
        except BaseException:
            self.stop(keep_logs=True)
            raise

    def stop(self, *, keep_logs: bool = False) -> None:
        """Stop everything, last started first; remove the folder unless its logs are wanted."""
        for name in reversed(list(self._processes)):
            self._stop(name)
        if keep_logs:
            shutil.rmtree(self.folder / "etcd", ignore_errors=True)
            print(f"the API server's logs are in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Take the API server away for the length of a block; its data, address and certificates stay."""
        self._stop("kube-apiserver")
        try:
            yield
        finally:
            self._start_apiserver()

    def kubectl(self, *words: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl as the administrator, or with another kubeconfig; give what it prints."""
        argv = [str(self._program("kubectl")), "--kubeconfig", str(kubeconfig or self.kubeconfig), *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KubectlFailed(done.returncode, argv, done.stdout, done.stderr)
        return done.stdout

    @contextlib.contextmanager
    def with_type(self, file: Path, name: str) -> Iterator[None]:
        """Have one more type, a CustomResourceDefinition of this name, while the block runs."""
        try:
            self.kubectl("create", "-f", str(file))  # many are too large for kubectl's client-side apply
            self.wait_until_types_are_served()
            yield
        finally:
            self.kubectl("delete", "crd", name, "--ignore-not-found")

    def wait_until_types_are_served(self) -> None:
        """Wait for every type that was created so far.

        ``kubectl wait`` cannot: it fails at once on a type so new that its conditions are null.
        """
        eventually(self._serves_all_types, "every type is served", seconds=READY_SECONDS)

    def _serves_all_types(self) -> bool:
        for item in json.loads(self.kubectl("get", "crd", "-o", "json"))["items"]:
            conditions = item.get("status", {}).get("conditions") or []
            served = any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
            assert served, (item["metadata"]["name"], conditions)
        return True

    def kubeconfig_for_user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """Make a kubeconfig for a person with these groups; RBAC says what they may do."""
        subject = f"/CN={name}" + "".join(f"/O={group}" for group in groups)
        certificate = self.folder / f"user-{_file_name(name)}.crt"
        self.sign(certificate, subject)
        identity = {
            "client-certificate-data": _base64(certificate),
            "client-key-data": _base64(certificate.with_suffix(".key")),
        }
        return self._write_kubeconfig(f"user-{_file_name(name)}", identity)

    def kubeconfig_for_service_account(self, name: str, namespace: str = "default", seconds: int = 3600) -> Path:
        """Make a kubeconfig with a token of a service account that exists."""
        token = self.kubectl("-n", namespace, "create", "token", name, f"--duration={seconds}s").strip()
        return self._write_kubeconfig(f"account-{namespace}-{name}", {"token": token}, namespace)

    def _write_kubeconfig(self, name: str, identity: dict[str, str], namespace: str = "default") -> Path:
        ca = _base64(self.folder / "ca.crt")
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": ca}}],
            "users": [{"name": name, "user": identity}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(config))  # JSON is YAML
        path.chmod(0o600)
        return path

    def _make_certificates(self) -> None:
        subject = ["-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.crt"]
        _openssl(self.folder, "req", "-x509", "-days", "7", *_NEW_KEY, *subject)
        front = ["-subj", "/CN=test-front-ca", "-keyout", "front-ca.key", "-out", "front-ca.crt"]
        _openssl(self.folder, "req", "-x509", "-days", "7", *_NEW_KEY, *front)
        self.sign(self.folder / "front.crt", f"/CN={FRONT_PROXY}", authority="front-ca")
        names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
        self.sign(self.folder / "server.crt", "/CN=kube-apiserver", "-addext", names)
        _openssl(self.folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "accounts.key")
        self.sign(self.folder / "admin.crt", "/CN=admin/O=system:masters")
        identity = {"client-certificate-data": _base64(self.folder / "admin.crt")}
        identity["client-key-data"] = _base64(self.folder / "admin.key")
        self._write_kubeconfig("admin", identity)

    def sign(self, certificate: Path, subject: str, *more: str, authority: str = "ca") -> None:
        """Make a certificate and, beside it, its key; ``front-ca`` signs for the API server as a proxy."""
        files = ["-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)]
        usage = ["-addext", "basicConstraints=critical,CA:FALSE"]
        ca = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"]
        _openssl(self.folder, "req", "-x509", "-days", "7", *_NEW_KEY, *ca, "-subj", subject, *usage, *more, *files)

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        self._spawn(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the data is thrown away
            "--log-level=warn",
        )
        self._wait("etcd", lambda: _is_ok(f"{client}/health", None))

    def _start_apiserver(self) -> None:
        folder = self.folder
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self._etcd_port}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "secure-port": self._port,
            "tls-cert-file": folder / "server.crt",
            "tls-private-key-file": folder / "server.key",
            "client-ca-file": folder / "ca.crt",
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": folder / "accounts.key",
            "service-account-signing-key-file": folder / "accounts.key",
            "service-cluster-ip-range": "10.0.0.0/16",
            # What it shows to programs that serve a part of its API.
            "requestheader-client-ca-file": folder / "front-ca.crt",
            "requestheader-allowed-names": FRONT_PROXY,
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": folder / "front.crt",
            "proxy-client-key-file": folder / "front.key",
        }
        if not self._controllers:  # nobody makes the account that this plugin asks every pod for
            flags["disable-admission-plugins"] = "ServiceAccount"
        if self._plugins:
            flags["enable-admission-plugins"] = ",".join(self._plugins)
        if self._without:
            flags["runtime-config"] = ",".join(f"{name}=false" for name in self._without)
        if self._audit:
            (folder / "audit-policy.yaml").write_text(json.dumps(_AUDIT_POLICY))
            flags |= {"audit-policy-file": folder / "audit-policy.yaml", "audit-log-path": self.audit_log}
        self._spawn("kube-apiserver", *(f"--{name}={value}" for name, value in flags.items()))
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        # /readyz is 200 only after the hook that writes RBAC's default roles: /healthz would be too early.
        self._wait("kube-apiserver", lambda: _is_ok(f"{self.url}/readyz", context))

    def _start_controllers(self, kubeconfig: str) -> None:
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            f"--root-ca-file={self.folder / 'ca.crt'}",
            "--leader-elect=false",
            "--secure-port=0",
            # Many namespaces come and go at once: with the default of 20 requests a second everything waits.
            "--kube-api-qps=300",
            "--kube-api-burst=500",
            *(["--horizontal-pod-autoscaler-sync-period=1s"] if self._autoscaler else []),
            f"--controllers=*{'' if self._autoscaler else ',-horizontal-pod-autoscaler-controller'}",
        )
        # Its first visible work: from then on pods can be made.
        self._wait("kube-controller-manager", self._has_default_account)

    def _has_default_account(self) -> bool:
        words = ["get", "serviceaccount", "default", "-o", "name"]
        with contextlib.suppress(subprocess.CalledProcessError):
            return bool(self.kubectl(*words))
        return False

    def _program(self, name: str) -> Path:
        if self._programs is None:
            raise ApiServerFailed("The API server was never started.")
        return self._programs / name

    def _spawn(self, name: str, *flags: str) -> None:
        with self._log(name).open("ab") as log:
            # A group of its own: Ctrl-C in a test run must not kill it before the test has cleaned up.
            self._processes[name] = subprocess.Popen(
                [str(self._program(name)), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready():
            code = self._processes[name].poll()
            if code is not None or time.monotonic() > deadline:
                what = f"ended with {code}" if code is not None else f"is not ready after {READY_SECONDS:.0f} s"
                tail = self._log(name).read_text(errors="replace").splitlines()[-15:]
                raise ApiServerFailed(f"{name} {what}; its log {self._log(name)} ends with:\n" + "\n".join(tail))
            time.sleep(POLL_SECONDS)

    def _stop(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        # The API server waits for open watches when it is asked kindly; nothing here is worth waiting for.
        process.send_signal(signal.SIGKILL if name == "kube-apiserver" else signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ApiServerFailed(f"openssl {words[0]} failed (version 3 is needed): {done.stderr.strip()}")


def _is_ok(url: str, context: ssl.SSLContext | None) -> bool:
    # No proxy of the environment: this is the loopback.
    handlers = [urllib.request.ProxyHandler({})]
    opener = urllib.request.build_opener(*handlers, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "-" for c in name)
