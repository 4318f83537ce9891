"""Shows the product: ``make demo``.

Brings up a cluster with the operator on it, applies examples, shows ``kubectl get llminference`` as it changes, asks
the models something through their Services, and tells what to try next. Where no hub answers, it serves a real
embedding model from the Python package index and a small BERT that it trains itself, both as model images; elsewhere
bert-large-uncased from the Hugging Face hub.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy import environment, kubectl, up
from kubectl import Kubectl
from mode import Mode
from problems import Problem
from steps import say, tell_and_exit

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "llminference-demo"
LOCAL_EXAMPLES = ("examples/local/minilm.yaml", "examples/local/tiny-bert.yaml")
HUB_EXAMPLES = ("examples/bert-large-uncased.yaml",)
READY_SECONDS = 600
DOWNLOAD_SECONDS = 1800
QUESTION = "How do I get my money back?"
SENTENCES = (
    "Refunds are paid within five days.",
    "Our office is closed on Sundays.",
    "You can return an item for a full reimbursement.",
    "The parcel was shipped yesterday.",
)


class NotServed(Problem):
    """The models did not become ready; the operator's own sentence says why."""

    exit_code = 9


def main() -> None:
    """Run the whole demonstration."""
    started = time.monotonic()
    offline = up(Mode(os.environ.get("CLUSTER_MODE", "auto")), None)
    cluster = kubectl()
    _ensure_namespace(cluster)
    examples = LOCAL_EXAMPLES if offline else HUB_EXAMPLES
    for example in examples:
        say(f"$ kubectl apply -n {NAMESPACE} -f {example}")
        say(cluster("apply", "-n", NAMESPACE, "-f", str(ROOT / example)).strip())
    _watch(cluster, READY_SECONDS if offline else DOWNLOAD_SECONDS)
    if offline:
        _rank_sentences(cluster)
        _fill_mask(cluster, "tiny-bert", "The capital of France is [MASK].")
    else:
        _fill_mask(cluster, "bert", "The capital of France is [MASK].")
    _tell_next(cluster, examples[0])
    say(f"\nDone in {time.monotonic() - started:.0f} s.")


def _ensure_namespace(cluster: Kubectl) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster("apply", "-f", "-", stdin=json.dumps(namespace))


def _watch(cluster: Kubectl, seconds: float) -> None:
    """Show the table whenever it changes, until every resource is ready."""
    say(f"$ kubectl get llminference -n {NAMESPACE} --watch")
    shown, deadline = "", time.monotonic() + seconds
    while True:
        items = cluster.items("llminference", "-n", NAMESPACE)
        states = [(item["metadata"]["name"], *_ready(item)) for item in items]
        lines = cluster("get", "llminference", "-n", NAMESPACE).rstrip().splitlines()
        # The age changes every second and says nothing.
        table = "\n".join(line.rsplit(maxsplit=1)[0].rstrip() for line in lines)
        if table != shown:
            say(table)
            shown = table
        if items and all(ready for _, ready, _ in states):
            return
        if time.monotonic() > deadline:
            late = "; ".join(f"{name}: {why}" for name, ready, why in states if not ready)
            raise NotServed(f"Not ready after {seconds:.0f} s. {late}", f"kubectl -n {NAMESPACE} describe llminference")
        time.sleep(0.5)


def _ready(item: dict[str, Any]) -> tuple[bool, str]:
    status = item.get("status", {})
    current = status.get("observedGeneration") == item["metadata"]["generation"]
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return current and ready, status.get("why") or "the operator has not seen it yet"


def _rank_sentences(cluster: Kubectl) -> None:
    with _port_forward(cluster, "minilm") as base:
        # As any OpenAI client would: the server tells the name of its model.
        with urllib.request.urlopen(f"{base}/v1/models", timeout=30) as response:  # noqa: S310 - the port forward above
            model = json.load(response)["data"][0]["id"]
        answer = _ask(base, "/v1/embeddings", {"model": model, "input": [QUESTION, *SENTENCES]})
    question, *others = [item["embedding"] for item in answer["data"]]
    scored = [(_cosine(question, other), text) for other, text in zip(others, SENTENCES, strict=True)]
    say(f"\n{QUESTION}")
    for score, text in sorted(scored, reverse=True):
        say(f"  {score:5.2f}  {text}")


def _cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def _fill_mask(cluster: Kubectl, name: str, text: str) -> None:
    with _port_forward(cluster, name) as base:
        answer = _ask(base, "/", {"inputs": text, "parameters": {"top_k": 3}})
    say(f"\n{text}")
    for guess in answer:
        say(f"  {guess['score']:5.2f}  {guess['token_str']}")


def _ask(base: str, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    text = json.dumps(body)
    say(f"\n$ curl {base}{path} -H 'content-type: application/json' -d '{text[:100]}{'…' if len(text) > 100 else ''}'")  # noqa: PLR2004
    request = urllib.request.Request(base + path, text.encode(), {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - the port forward above
        return json.load(response)


@contextmanager
def _port_forward(cluster: Kubectl, name: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [str(cluster.program), "port-forward", "-n", NAMESPACE, f"service/{name}", f"{port}:80"]
    forward = subprocess.Popen(argv, env={**os.environ, **environment(cluster)}, stdout=subprocess.PIPE)
    try:
        line = forward.stdout.readline() if forward.stdout else b""
        if b"Forwarding" not in line:
            raise NotServed(
                f"kubectl port-forward to the Service {name} ended.", f"kubectl -n {NAMESPACE} get endpoints"
            )
        yield f"http://127.0.0.1:{port}"
    finally:
        forward.terminate()
        forward.wait()


def _tell_next(cluster: Kubectl, example: str) -> None:
    say("\n" + cluster("get", "llminference", "-n", NAMESPACE).rstrip())
    kubeconfig = f"export KUBECONFIG={cluster.kubeconfig}\n  " if cluster.kubeconfig else ""
    name = json.loads(cluster("get", "-f", str(ROOT / example), "-n", NAMESPACE, "-o", "json"))["metadata"]["name"]
    say(
        f"\nTry next:\n  {kubeconfig}"
        f"kubectl -n {NAMESPACE} scale llminference/{name} --replicas=2\n  "
        f"kubectl -n {NAMESPACE} get llminference --watch\n  "
        f"kubectl explain llminference.spec\n  "
        "make cluster-down          # removes all of it"
    )


if __name__ == "__main__":
    tell_and_exit(main)
