"""What four times the load does to a server, and how long a drain takes: figures and ratios of one run.

``make bench-overload BENCH_ARGS="--seconds 20 --times 4"`` starts a server of its own with one thread, and prints JSON.
The load comes from the same machine, which should have another core for it and nothing else to do; the line ``load``
says what it had.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Sequence

from llmi_api.launch import Task
from llmi_testing.models import small_causal_model, small_model
from llmi_testing.open_load import Outcome, Planned, run_load, send
from llmi_testing.served import Served, served
from llmi_testing.server import MODEL_NAME

SHAPE = {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 1024}
TEXTS = ["word " * 12] * 64  # all fit the small model
QUEUE = 16
PROBES = ("/livez", "/readyz", "/metrics")
PROBES_EACH_SECOND = 5
ANSWERED, REFUSED = 200, (429, 503)


def embed(at: float = 0.0) -> Planned:
    """A request that takes the server some time."""
    return Planned(path="/v1/embeddings", body={"model": MODEL_NAME, "input": TEXTS}, at=at)


def chat(tokens: int) -> Planned:
    """A stream."""
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": MODEL_NAME, "messages": messages, "max_tokens": tokens, "stream": True, "temperature": 0}
    return Planned(path="/v1/chat/completions", body=body)


def measure_peak(server: Served, seconds: float, clients: int = 8) -> float:
    """Return how many requests are answered a second when as many clients as it likes ask one after another.

    What is answered after the end does not count, as under overload.
    """

    async def client(end: float) -> int:
        count = 0
        while time.monotonic() < end:
            outcome = await send(server.port, embed())
            count += outcome.status == ANSWERED and outcome.ended <= end
        return count

    async def run() -> int:
        end = time.monotonic() + seconds
        return sum(await asyncio.gather(*(client(end) for _ in range(clients))))

    return asyncio.run(run()) / seconds


def p99(outcomes: Sequence[Outcome]) -> float:
    """Milliseconds that 99 of 100 took at most."""
    return round(1000 * statistics.quantiles([one.seconds for one in outcomes], n=100)[98], 1)


def measure_overload(seconds: float, times: float) -> dict[str, object]:
    """Compare what is answered at its peak and far beyond it."""
    folder = small_model("bert", "base", **SHAPE)
    with served(folder, Task.EMBEDDINGS, max_queued_requests=QUEUE) as server:
        measure_peak(server, 3)
        before, memory = measure_peak(server, seconds), server.memory_bytes()
        rate = times * before
        plan = [embed(number / rate) for number in range(int(rate * seconds))]
        probes = [
            Planned(path=path, at=number / PROBES_EACH_SECOND)
            for number in range(int(seconds * PROBES_EACH_SECOND))
            for path in PROBES
        ]
        began = time.monotonic()
        outcomes = run_load(server.port, plan + probes)
        swollen, after = server.memory_bytes(), measure_peak(server, seconds)
    asked = [one for one in outcomes if one.planned.path not in PROBES]
    accepted = [one for one in asked if one.status == ANSWERED]
    refused = [one for one in asked if one.status in REFUSED]
    in_time = sum(one.ended < began + seconds for one in accepted)
    return {
        "peak_per_second": [round(before, 1), round(after, 1)],
        "offered_per_second": round(rate, 1),
        "accepted_per_second": round(in_time / seconds, 1),
        "accepted_over_peak": round(in_time / seconds / statistics.mean((before, after)), 3),
        "statuses": dict(Counter(one.status for one in asked)),
        "accepted_p99_ms": p99(accepted),
        "refusal_p99_ms": p99(refused),
        "refusals_with_retry_after": sum("retry-after" in one.answer.headers for one in refused if one.answer),
        "probes_failed": sum(one.status != ANSWERED for one in outcomes if one.planned.path in PROBES),
        "probe_slowest_ms": round(1000 * max(one.seconds for one in outcomes if one.planned.path in PROBES), 1),
        "memory_over_peak": round(swollen / memory, 3),
    }


def measure_drain() -> dict[str, object]:
    """Time what follows a SIGTERM, and a second one."""
    with served(small_causal_model(), Task.TEXT_GENERATION, drain_seconds=60, request_timeout_seconds=120) as server:

        async def drain() -> tuple[float, Outcome]:
            stream = asyncio.ensure_future(send(server.port, chat(400)))
            await asyncio.sleep(0.2)
            server.terminate()
            began = time.monotonic()
            while (await send(server.port, Planned(path="/readyz"))).status == ANSWERED:
                pass
            return time.monotonic() - began, await stream

        not_ready, stream = asyncio.run(drain())
        server.process.wait(120)
        ended = time.monotonic() - stream.ended
    with served(small_model("bert", "base"), Task.EMBEDDINGS, drain_seconds=600) as server:
        server.terminate()
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        server.process.wait(120)
        second = time.monotonic() - began
    return {
        "not_ready_after_ms": round(1000 * not_ready, 1),
        "stream_was_finished": stream.answer is not None and b"[DONE]" in stream.answer.body,
        "exit_after_the_last_answer_s": round(ended, 2),
        "exit_after_a_second_signal_s": round(second, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--times", type=float, default=4)
    arguments = parser.parse_args()
    load = os.getloadavg()
    overload = measure_overload(arguments.seconds, arguments.times)
    print(json.dumps({"load": load, "overload": overload, "drain": measure_drain()}, indent=1))


if __name__ == "__main__":
    main()
