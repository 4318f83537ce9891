"""Closed-loop load on a running server's embeddings or task route: requests per second and latencies.

``python bench/encoder_load.py http://localhost:8080 --route /v1/embeddings --clients 8 --seconds 20``
"""

import argparse
import asyncio
import json
import random
import statistics
import time

import httpx

WORDS = (
    "the",
    "of",
    "capital",
    "weather",
    "and",
    "to",
    "in",
    "unbelievable",
    "is",
    "cat",
    "river",
    "quickly",
    "tokenizer",
)


def make_body(route: str, model: str, generator: random.Random, extra: str) -> bytes:
    """Return a request of ordinary length: 8 to 200 words, median near 40."""
    count = min(200, max(8, round(generator.lognormvariate(3.7, 0.7))))
    text = " ".join(generator.choice(WORDS) for _ in range(count)) + extra
    body = {"model": model, "input": text, "truncate": True} if route == "/v1/embeddings" else {"inputs": text}
    return json.dumps(body).encode()


async def client(http: httpx.AsyncClient, arguments: argparse.Namespace, seed: int, seconds: list[float]) -> None:
    """Send one request after another until the time is over."""
    generator = random.Random(seed)  # noqa: S311 - the same load each time
    end = time.monotonic() + arguments.seconds
    while (began := time.monotonic()) < end:
        body = make_body(arguments.route, arguments.model, generator, arguments.append)
        answer = await http.post(arguments.route, content=body, headers={"content-type": "application/json"})
        answer.raise_for_status()
        seconds.append(time.monotonic() - began)


async def run(arguments: argparse.Namespace) -> None:
    """Run all clients and print one JSON line."""
    seconds: list[float] = []
    limits = httpx.Limits(max_connections=arguments.clients)
    async with httpx.AsyncClient(base_url=arguments.url, timeout=120, limits=limits) as http:
        await asyncio.gather(*(client(http, arguments, seed, seconds) for seed in range(arguments.clients)))
    marks = statistics.quantiles(seconds, n=100)
    result = {
        "clients": arguments.clients,
        "requests": len(seconds),
        "requests_per_second": round(len(seconds) / arguments.seconds, 1),
        "p50_ms": round(marks[49] * 1000),
        "p95_ms": round(marks[94] * 1000),
        "p99_ms": round(marks[98] * 1000),
    }
    print(json.dumps(result))


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--route", default="/v1/embeddings")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--append", default="", help="text added to each input, such as ' [MASK]'")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
