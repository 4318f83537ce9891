"""A real cluster with the operator on it, as tests use it: apply, wait for a condition, ask a model.

Everything goes through kubectl, as a user's hands would. Requests to models and load come from pods, so that they
take the way through the Service and never leave the cluster's network.
"""

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kubectl import Kubectl
from llmi_testing.eventually import eventually as eventually_soon
from llmi_testing.manifests import manifest
from problems import CommandFailed

Result = TypeVar("Result")
SUPPORT = Path(__file__).parent
START_SECONDS = 150.0
TINY_BERT = {"image": {"reference": "llminference/model-tiny-bert:dev"}}
MINILM = {"image": {"reference": "llminference/model-minilm:dev"}}
SMALL = {"requests": {"cpu": "100m", "memory": "700Mi"}, "limits": {"memory": "1500Mi"}}


def eventually(look: Callable[[], Result], what: str = "it is true", *, seconds: float = START_SECONDS) -> Result:
    """Wait for longer: a pod that loads a model on a busy machine takes a while. A kubectl that fails is run again."""

    def try_to() -> Result:
        try:
            return look()
        except CommandFailed as error:
            raise AssertionError(str(error)) from error

    return eventually_soon(try_to, what, seconds=seconds)


class LiveCluster:
    """The cluster, and the namespace of one test."""

    def __init__(self, kubectl: Kubectl, server_image: str, namespace: str) -> None:
        self.kubectl = kubectl
        self.server_image = server_image
        self.namespace = namespace

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl in the test's namespace."""
        return self.kubectl("-n", self.namespace, *words, stdin=stdin)

    def refusal(self, *words: str, stdin: str | None = None) -> str:
        """Run a kubectl that must fail, and give its words."""
        argv = [str(self.kubectl.program), "--kubeconfig", str(self.kubectl.kubeconfig), "-n", self.namespace, *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def apply(self, name: str, *, task: str = "fill-mask", **spec: Any) -> None:
        """Apply an LLMInference: a tiny BERT in small pods, unless the fields say otherwise."""
        fields = {"model": TINY_BERT, "task": task, "resources": SMALL, **spec}
        body = manifest({key: value for key, value in fields.items() if value is not None}, name=name)
        self("apply", "-f", "-", stdin=json.dumps(body))

    def patch(self, name: str, **spec: Any) -> None:
        """Change fields of an LLMInference's spec; None removes one."""
        self("patch", "llmi", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read one object; empty when it is not there."""
        text = self("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text else {}

    def objects(self, kind: str, owner: str | None = None) -> list[dict[str, Any]]:
        """List objects, all or those of one LLMInference."""
        words = ["-l", f"llminference.dev/llminference={owner}"] if owner else []
        found: list[dict[str, Any]] = json.loads(self("get", kind, *words, "-o", "json"))["items"]
        return found

    def status(self, name: str) -> dict[str, Any]:
        """The status, or nothing while it is about an older generation."""
        body = self.get("llmi", name)
        status: dict[str, Any] = body.get("status", {})
        return status if status.get("observedGeneration") == body["metadata"]["generation"] else {}

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition of the current generation."""
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == kind), {})

    def wait_ready(self, name: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Wait until all replicas of the current spec serve; give the status."""

        def look() -> dict[str, Any]:
            why = self.get("llmi", name).get("status", {}).get("why")
            assert self.condition(name, "Ready").get("status") == "True", f"{name} is not Ready: {why}"
            return self.status(name)

        return eventually(look, seconds=seconds)

    def wait_until_obeyed(self, name: str) -> None:
        """Wait until an operator has followed an edit: one that pods need not change for."""
        word = secrets.token_hex(3)
        self.patch(name, service={"annotations": {"example.com/word": word}})

        def read() -> str | None:
            annotations: dict[str, str] = self.get("service", name).get("metadata", {}).get("annotations", {})
            return annotations.get("example.com/word")

        eventually(lambda: read() == word, "an operator follows an edit", seconds=60)

    def wait_why(self, name: str, *words: str, seconds: float = START_SECONDS) -> str:
        """Wait until the sentence holds all the words; give it."""
        seen: list[str] = []

        def look() -> str:
            why: str = self.status(name).get("why") or ""
            if [why] != seen[-1:]:
                seen.append(why)
            return why if all(word in why for word in words) else ""

        try:
            return eventually(look, f"why of {name} holds {words}", seconds=seconds)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *seen])) from None

    def has_metrics(self) -> bool:
        """Whether the metrics-server has seen a pod of the namespace."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{self.namespace}/pods"
        return bool(json.loads(self.kubectl("get", "--raw", path))["items"])

    def ask(self, url: str, body: Any | None = None, **headers: str) -> tuple[int, Any]:
        """Send one request from a pod in the namespace; give the HTTP status and the JSON of the answer."""
        question = json.dumps([url, body, headers])
        text = self("exec", "-i", self.client(), "--", "/opt/llmi/bin/python", "/support/ask.py", stdin=question)
        status, answer = json.loads(text)
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, answer

    def client_fails_to_reach(self, url: str) -> str:
        """Send a request that must not get through; give the client's complaint."""
        words = ["exec", "-i", self.client(), "--", "/opt/llmi/bin/python", "/support/ask.py"]
        return self.refusal(*words, stdin=json.dumps([url, None, {}]))

    def client(self, *, node: str | None = None) -> str:
        """A pod that sleeps in the namespace, for requests from inside; made when first asked for."""
        if not self.get("pod", "client"):
            self.run_pod("client", ["-c", "import signal; signal.pause()"], "ask.py", node=node)
            self("wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
        return "client"

    def run_pod(
        self,
        name: str,
        arguments: list[str],
        *files: str,
        node: str | None = None,
        volumes: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        """Run Python of the server's image with some files of tests/support beside it, as restricted as any pod.

        ``volumes`` maps paths to volume sources.
        """
        self("create", "configmap", name, *(f"--from-file={SUPPORT / file}" for file in files))
        more = list((volumes or {}).items())
        container = {
            "name": "main",
            "image": self.server_image,
            "command": ["/opt/llmi/bin/python", *arguments],
            "env": [{"name": "PYTHONPATH", "value": "/support"}],
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [
                {"name": "support", "mountPath": "/support"},
                *({"name": f"volume-{i}", "mountPath": path} for i, (path, _) in enumerate(more)),
            ],
        }
        spec: dict[str, Any] = {
            **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [
                {"name": "support", "configMap": {"name": name}},
                *({"name": f"volume-{i}", **source} for i, (_, source) in enumerate(more)),
            ],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
        self("apply", "-f", "-", stdin=json.dumps(pod))

    @contextmanager
    def forwarded(self, name: str) -> Iterator[str]:
        """Host and port on this machine that lead to a Service, for clients that run here."""
        kubectl = [str(self.kubectl.program), "--kubeconfig", str(self.kubectl.kubeconfig), "-n", self.namespace]
        words = [*kubectl, "port-forward", f"service/{name}", ":80", "--address=127.0.0.1"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()
                yield "127.0.0.1:" + line.partition("127.0.0.1:")[2].split()[0]
            finally:
                process.terminate()

    @contextmanager
    def load(self, url: str, *, rate: float, body: Any, at_once: int = 200) -> Iterator["Load"]:
        """Send requests at a steady rate from a pod while the block runs, but no more than so many at once."""
        name = f"load-{secrets.token_hex(3)}"
        settings = json.dumps({"url": url, "rate": rate, "at_once": at_once, "body": body})
        self.run_pod(name, ["/support/steady_load.py", settings], "steady_load.py")
        load = Load(self, name)
        eventually(lambda: load.progress().get("answered", 0) > 0, "the load is answered")
        try:
            yield load
        finally:
            load.stop()
            self("delete", "pod", name, "--wait=false")


class Load:
    """A running load; `result` after the block."""

    def __init__(self, cluster: LiveCluster, pod: str) -> None:
        self._cluster = cluster
        self._pod = pod
        self.result: dict[str, Any] = {}

    def progress(self) -> dict[str, Any]:
        """What was sent, answered and failed so far."""
        if self._cluster.get("pod", self._pod).get("status", {}).get("phase") not in {"Running", "Succeeded"}:
            return {}
        lines = self._cluster("logs", self._pod, "--tail=1").splitlines()
        seen: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return seen

    def stop(self) -> None:
        """Stop sending, wait for the answers that are under way, and keep the counts."""
        stop = "import os, signal; os.kill(1, signal.SIGTERM)"
        self._cluster("exec", self._pod, "--", "/opt/llmi/bin/python", "-c", stop)
        eventually(lambda: self.progress().get("done"), "the load ends", seconds=90)
        self.result = self.progress()
