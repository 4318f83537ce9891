"""Three engines and the obvious program on the local cluster, one model, one load: ``make bench-engines``.

All four are LLMInferences, with one replica and the machine's cores each, in float32; the obvious program is `custom`.
They stay up together, and each is asked in turn in every round, while the others have nothing to do. Requests come
from this machine to a NodePort, so that no client of ours runs in the cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deploy
import kind_cluster
import models
import vllm_image
from inputs import Text, encoder_texts
from llmi_testing.live_cluster import MINILM, LiveCluster
from load import Outcome, Request, put_load

NAIVE_SERVER = Path(__file__).with_name("naive_server.py")
PYTHON = "/opt/llmi/bin/python"
FLOAT32 = {"precision": "float32"}
PIECE = 1000
"""Characters of one argument: the resource takes 1,024."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One of those that are compared.

    Attributes:
        title: Its name in the table.
        engine: Its `spec.engine`.
        route: Where it is asked.
        body: What for a text.
        batches: Texts that it computed and in how many batches, by its metrics; None where it has no batches.
        metrics_port: Port of a pod at which the metrics are.
    """

    title: str
    engine: Mapping[str, Any]
    route: str
    body: Callable[[str], Any]
    batches: tuple[str, str] | None
    metrics_port: int = 8080


@dataclass(frozen=True)
class Block:
    """What came of one load on one of them; texts in a batch, if there are batches."""

    outcome: Outcome
    batch: float | None


def contenders(server_image: str) -> dict[str, Contender]:
    """Describe them, by the names of their resources."""
    return {
        "naive": Contender(
            title="the obvious program (`custom`)",
            engine={"name": "custom", "image": server_image, "command": naive_command()},
            route="/predict",
            body=lambda text: {"text": text},
            batches=None,
        ),
        "bundled": Contender(
            title="`transformers`",
            engine=FLOAT32,
            route="/v1/embeddings",
            body=lambda text: {"model": "bundled", "input": text},
            batches=("llmi_batch_size_sum", "llmi_batch_size_count"),
        ),
        "triton": Contender(
            title="`triton`",
            engine={"name": "triton"} | FLOAT32,
            route="/v2/models/triton/infer",
            body=lambda text: {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]},
            batches=("nv_inference_count", "nv_inference_exec_count"),
            metrics_port=8002,
        ),
        "vllm": Contender(
            title="`vllm` (for processors)",
            engine={"name": "vllm", "image": vllm_image.tagged(), "args": ["--enforce-eager"]} | FLOAT32,
            route="/v1/embeddings",
            body=lambda text: {"model": "vllm", "input": text},
            # Tokens and steps: what a text has of them on average is known.
            batches=("vllm:iteration_tokens_total_sum", "vllm:iteration_tokens_total_count"),
        ),
    }


def naive_command() -> list[str]:
    """Return a command line that holds the program, as no image of it is needed elsewhere."""
    source = NAIVE_SERVER.read_text(encoding="utf-8")
    pieces = [source[start : start + PIECE] for start in range(0, len(source), PIECE)]
    end = 1 + len(pieces)
    run = f"import sys; source = ''.join(sys.argv[1:{end}]); del sys.argv[1:{end}]; exec(source)"
    return [PYTHON, "-c", run, *pieces, "feature-extraction", "/model", "8080", "0.0.0.0"]  # noqa: S104 - in a pod


class Contest:
    """The four on a cluster, ready to be asked."""

    def __init__(self, cluster: LiveCluster, address: str) -> None:
        """Take a namespace, and an address of a node."""
        self._cluster = cluster
        self._address = address
        self.contenders = contenders(cluster.server_image)

    def start(self) -> None:
        """Have all of them ready."""
        cores = str(os.cpu_count() or 1)
        resources = {"requests": {"cpu": "100m", "memory": "700Mi"}, "limits": {"cpu": cores, "memory": "4Gi"}}
        for name, one in self.contenders.items():
            fields = {"engine": one.engine, "model": MINILM, "resources": resources, "service": {"type": "NodePort"}}
            self._cluster.apply(name, task="embeddings", **fields)
        for name in self.contenders:
            self._cluster.wait_ready(name, seconds=600)
            print(f"{name} is ready", flush=True)

    def measure(self, name: str, texts: list[Text], clients: int) -> Block:
        """Have texts answered by one of them."""
        one = self.contenders[name]
        port = self._cluster.get("service", name)["spec"]["ports"][0]["nodePort"]
        requests = [Request(body=json.dumps(one.body(text.text)).encode(), tokens=text.tokens) for text in texts]
        before = self._counts(name)
        outcome = put_load(f"http://{self._address}:{port}", one.route, requests, clients=clients)
        after = self._counts(name)
        if one.batches is None:
            return Block(outcome, None)
        computed, batches = (new - old for new, old in zip(after, before, strict=True))
        mean = statistics.mean(text.tokens for text in texts) if "tokens" in one.batches[0] else 1
        return Block(outcome, computed / mean / batches)

    def _counts(self, name: str) -> list[float]:
        one = self.contenders[name]
        if one.batches is None:
            return []
        (pod,) = self._cluster.objects("pods", name)
        _, text = self._cluster.ask(f"http://{pod['status']['podIP']}:{one.metrics_port}/metrics")
        return [sum_of(metric, text) for metric in one.batches]


def sum_of(metric: str, text: str) -> float:
    """Add up a metric's samples, whatever their labels."""
    samples = re.findall(rf"^{re.escape(metric)}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, samples))


def show(rounds: list[Mapping[str, Block]], titles: Mapping[str, str]) -> str:
    """A table: medians over the rounds, and of the ratio its extremes too."""
    lines = ["| engine | tokens/s | over the obvious program | p50 | p99 | texts in a batch |", "|" + "---|" * 6]
    for name, title in titles.items():
        blocks = [blocks[name] for blocks in rounds]
        rate = statistics.median(block.outcome.tokens_per_second for block in blocks)
        pairs = [one[name].outcome.tokens_per_second / one["naive"].outcome.tokens_per_second for one in rounds]
        ratio = f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
        p50, p99 = (statistics.median(_quantile(block.outcome, share) for block in blocks) for share in (0.5, 0.99))
        batches = [block.batch for block in blocks if block.batch is not None]
        batch = f"{statistics.median(batches):.1f}" if batches else "1"
        lines.append(f"| {title} | {rate:,.0f} | {ratio} | {p50 * 1000:.0f} ms | {p99 * 1000:.0f} ms | {batch} |")
    return "\n".join(lines)


def _quantile(outcome: Outcome, share: float) -> float:
    seconds = sorted(answer.seconds for answer in outcome.answers)
    return seconds[min(len(seconds) - 1, int(len(seconds) * share))]


def main() -> None:
    """Entry point of ``make bench-engines``."""
    parser = argparse.ArgumentParser(description="Compare three engines and the obvious program on the local cluster.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=400)
    asked = parser.parse_args()
    kubectl = kind_cluster.kubectl()
    models.make_and_load()
    operator = json.loads(kubectl("-n", deploy.NAMESPACE, "get", deploy.OPERATOR, "-o", "json"))
    variables = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    image = next(variable["value"] for variable in variables if variable["name"] == "LLMI_OPERATOR_SERVER_IMAGE")
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    address = next(one["address"] for one in nodes[-1]["status"]["addresses"] if one["type"] == "InternalIP")
    cluster = LiveCluster(kubectl, image, f"bench-{secrets.token_hex(3)}")
    kubectl("create", "namespace", cluster.namespace)
    try:
        contest = Contest(cluster, address)
        contest.start()
        for name in contest.contenders:
            contest.measure(name, encoder_texts(4 * asked.clients, seed=0), asked.clients)
        rounds: list[Mapping[str, Block]] = []
        for number in range(asked.rounds):
            texts, order = encoder_texts(asked.requests, seed=number + 1), list(contest.contenders)
            order = order[number % len(order) :] + order[: number % len(order)]
            rounds.append({name: contest.measure(name, texts, asked.clients) for name in order})
            print(show(rounds[-1:], {name: one.title for name, one in contest.contenders.items()}), flush=True)
        print(f"\n{asked.clients} clients, {asked.rounds} rounds of {asked.requests} texts:\n")
        print(show(rounds, {name: one.title for name, one in contest.contenders.items()}))
    finally:
        kubectl("delete", "namespace", cluster.namespace, "--wait=false")


if __name__ == "__main__":
    main()
