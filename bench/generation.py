"""Generated tokens per second and time to the first token: our server against `transformers serve`, one after another.

``python bench/generation.py`` makes a Llama of 134 million random weights, starts each server on it, puts the same
closed-loop load on both through OpenAI's chat route, and prints one JSON line for each server and number of clients.
Each answer has exactly the tokens that were asked for: the vocabulary's end token is one of 49,152 that are all alike.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from llmi_testing.models import FACTS, llama_134m

WORDS = " ".join(FACTS).split()


def ours(folder: Path, port: int) -> tuple[Sequence[str], dict[str, str], str]:
    """Return command, environment and model name of our server."""
    settings = {
        "LLMI_MODEL_DIR": str(folder),
        "LLMI_MODEL_NAME": "llama",
        "LLMI_TASK": "text-generation",
        "LLMI_HOST": "127.0.0.1",
        "LLMI_PORT": str(port),
        "LLMI_REQUEST_TIMEOUT_SECONDS": "3600",
    }
    return [sys.executable, "-m", "llmi_server", "serve"], settings, "llama"


def theirs(folder: Path, port: int) -> tuple[Sequence[str], dict[str, str], str]:
    """Return the same of `transformers serve`."""
    program = str(Path(sys.executable).parent / "transformers")
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    return [program, "serve", str(folder), *options], {"HF_HUB_OFFLINE": "1"}, str(folder)


SERVERS = {"llmi-server": (ours, "/readyz"), "transformers serve": (theirs, "/health")}


@contextmanager
def running(name: str, folder: Path, wait_seconds: float) -> Iterator[tuple[str, str]]:
    """Run a server; yields its address and the model's name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    make, health = SERVERS[name]
    command, environment, model = make(folder, port)
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=sys.stderr)
    url = f"http://127.0.0.1:{port}"
    try:
        await_health(url + health, process, wait_seconds)
        yield url, model
    finally:
        process.terminate()
        process.wait(60)


def await_health(url: str, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a server says that it is ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    message = f"{url} did not become ready"
    raise TimeoutError(message)


async def ask(http: httpx.AsyncClient, model: str, prompt: str, tokens: int) -> float:
    """Have one answer streamed; returns the time to its first text."""
    began, first = time.monotonic(), None
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
    }
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if first is None and _has_text(line):
                first = time.monotonic() - began
    return first if first is not None else time.monotonic() - began


def _has_text(line: str) -> bool:
    if not line.startswith("data: {"):
        return False
    choices = json.loads(line.removeprefix("data: ")).get("choices") or [{}]
    return bool((choices[0].get("delta") or {}).get("content"))


async def load(url: str, model: str, *, clients: int, requests: int, tokens: int) -> dict[str, float]:
    """Put load on a server until ``requests`` answers are complete; returns the figures."""
    generator = random.Random(clients)  # noqa: S311 - the same load each time
    prompts = [" ".join(generator.choice(WORDS) for _ in range(64)) for _ in range(requests)]
    waiting = iter(prompts)
    firsts: list[float] = []

    async def client(http: httpx.AsyncClient) -> None:
        for prompt in waiting:
            firsts.append(await ask(http, model, prompt, tokens))  # noqa: PERF401 - one after another

    async with httpx.AsyncClient(base_url=url, timeout=3600) as http:
        await ask(http, model, "warm up", 2)
        began = time.monotonic()
        await asyncio.gather(*(client(http) for _ in range(clients)))
        seconds = time.monotonic() - began
    return {
        "tokens_per_second": round(requests * tokens / seconds, 2),
        "first_token_p50_ms": round(statistics.median(firsts) * 1000),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Measure each server with each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="+", choices=sorted(SERVERS), default=sorted(SERVERS))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3, help="answers for each client")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--wait", type=float, default=300, help="longest time for a server to start, in seconds")
    arguments = parser.parse_args()
    folder = llama_134m()
    for name in arguments.servers:
        with running(name, folder, arguments.wait) as (url, model):
            for clients in arguments.clients:
                requests = clients * arguments.rounds
                figures = asyncio.run(load(url, model, clients=clients, requests=requests, tokens=arguments.tokens))
                loads = [round(value, 1) for value in os.getloadavg()]
                print(json.dumps({"server": name, "clients": clients, **figures, "load": loads}), flush=True)


if __name__ == "__main__":
    main()
