"""What four times the load does to a server, and how long a drain takes: figures and ratios of one run.

``make bench-overload BENCH_ARGS="--turns 60 --seconds 2 --times 4"`` starts a server of its own with one thread, and
prints JSON: once in float32, once in the processor's own precision. Eight clients ask one after another all the time,
which is the peak; in every other turn of some seconds four times as many requests come besides. What is answered in the
turns with and without them is compared. A shared machine is a third faster in one second than in the next, so the turns
are short and many, and the ratio is that of all of them; ``accepted_over_peak_of_fifths`` says what a fifth of them
would have told. Probes and scrapes come in all turns. The load comes from the same machine, which should have another
core for it and nothing else to do; the line ``load`` says what it had.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

from llmi_api.launch import Precision, Task
from llmi_testing.models import small_causal_model, small_model
from llmi_testing.open_load import Outcome, Planned, send, send_all
from llmi_testing.served import Served, served
from llmi_testing.server import MODEL_NAME

SHAPE = {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 1024}
TEXTS = ["word " * 12] * 64  # all fit the small model
QUEUE = 16
PROBES = ("/livez", "/readyz", "/metrics")
PROBES_EACH_SECOND = 1
CLIENTS = 8
PEAK_SECONDS = 10.0
FIFTHS = 5
ANSWERED, REFUSED = 200, (429, 503)


def embed(at: float = 0.0) -> Planned:
    """A request that takes the server some time."""
    return Planned(path="/v1/embeddings", body={"model": MODEL_NAME, "input": TEXTS}, at=at)


def chat(tokens: int) -> Planned:
    """A stream."""
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": MODEL_NAME, "messages": messages, "max_tokens": tokens, "stream": True, "temperature": 0}
    return Planned(path="/v1/chat/completions", body=body)


def p99(outcomes: Sequence[Outcome]) -> float:
    """Milliseconds that 99 of 100 took at most."""
    return round(1000 * statistics.quantiles([one.seconds for one in outcomes], n=100)[98], 1)


async def ask_in_turn(server: Served, end: float) -> list[Outcome]:
    """Ask one request after another until then, and a while after a refusal, as Retry-After wants it."""
    outcomes = []
    while time.monotonic() < end:
        outcomes.append(await send(server.port, embed()))
        answer = outcomes[-1].answer
        if answer is not None and answer.status in REFUSED:
            await asyncio.sleep(float(answer.headers["retry-after"]))
    return outcomes


async def load(server: Served, plan: Sequence[Planned], seconds: float) -> tuple[list[Outcome], list[Outcome]]:
    """Have the clients ask all the time and send a plan besides; return what became of both."""
    end = time.monotonic() + seconds
    clients = asyncio.gather(*(ask_in_turn(server, end) for _ in range(CLIENTS)))
    planned = await send_all(server.port, plan)
    return [one for outcomes in await clients for one in outcomes], planned


def answered_in(outcomes: Sequence[Outcome], began: float, seconds: float, turns: int) -> list[int]:
    """Return how many requests are answered in each turn."""
    counts = Counter(int((one.ended - began) / seconds) for one in outcomes if one.status == ANSWERED)
    return [counts[turn] for turn in range(turns)]


def ratio(counts: Sequence[int]) -> float:
    """Return what the turns with overload answer over what the others do."""
    return round(sum(counts[1::2]) / sum(counts[::2]), 3)


def flood(turns: int, seconds: float, rate: float) -> list[Planned]:
    """Return so many requests a second in every other turn."""
    begins = ((2 * turn + 1) * seconds for turn in range(turns))
    return [embed(begin + number / rate) for begin in begins for number in range(int(rate * seconds))]


def probes(seconds: float) -> list[Planned]:
    """Return what the kubelet and Prometheus ask meanwhile, more often than they do."""
    times = (number / PROBES_EACH_SECOND for number in range(int(seconds * PROBES_EACH_SECOND)))
    return [Planned(path=path, at=at) for at in times for path in PROBES]


def measure_overload(turns: int, seconds: float, times: float, precision: Precision) -> dict[str, object]:
    """Compare what is answered at its peak and far beyond it, in turn."""
    folder = small_model("bert", "base", **SHAPE)
    with served(folder, Task.EMBEDDINGS, precision=precision, max_queued_requests=QUEUE) as server:
        asyncio.run(load(server, [], 3))  # warm
        began = time.monotonic()
        outcomes, _ = asyncio.run(load(server, [], PEAK_SECONDS))
        rate = times * sum(answered_in(outcomes, began, PEAK_SECONDS, 1)) / PEAK_SECONDS
        memory, began, whole = server.memory_bytes(), time.monotonic(), 2 * turns * seconds
        clients, planned = asyncio.run(load(server, flood(turns, seconds, rate) + probes(whole), whole))
        swollen = server.memory_bytes()
    asked = [one for one in planned if one.planned.path not in PROBES]
    probed = [one for one in planned if one.planned.path in PROBES]
    refused = [one for one in clients + asked if one.status in REFUSED]
    counts = answered_in(clients + asked, began, seconds, 2 * turns)
    part = 2 * max(1, turns // FIFTHS)
    return {
        "peak_per_second": round(sum(counts[::2]) / turns / seconds, 2),
        "offered_per_second": round(rate, 1),
        "accepted_per_second": round(sum(counts[1::2]) / turns / seconds, 2),
        "accepted_over_peak": ratio(counts),
        "accepted_over_peak_of_fifths": [ratio(counts[at : at + part]) for at in range(0, len(counts), part)],
        "statuses": dict(Counter(one.status for one in asked)),
        "accepted_p99_ms": p99([one for one in asked if one.status == ANSWERED]),
        "refusal_p99_ms": p99(refused),
        "refusals_with_retry_after": sum("retry-after" in one.answer.headers for one in refused if one.answer),
        "refusals": len(refused),
        "probes_failed": sum(one.status != ANSWERED for one in probed),
        "probe_slowest_ms": round(1000 * max(one.seconds for one in probed), 1),
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
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--times", type=float, default=4)
    arguments = parser.parse_args()
    found: dict[str, object] = {"load": os.getloadavg()}
    for precision in (Precision.FLOAT32, Precision.AUTO):
        print(f"{precision}: {2 * arguments.turns * arguments.seconds:.0f} s", file=sys.stderr)
        found[precision] = measure_overload(arguments.turns, arguments.seconds, arguments.times, precision)
    print(json.dumps({**found, "drain": measure_drain()}, indent=1))


if __name__ == "__main__":
    main()
