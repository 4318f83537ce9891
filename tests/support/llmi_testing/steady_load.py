"""Sends requests at a steady rate, each on a connection of its own, and prints counts as JSON lines.

Runs inside a pod: ``python steady_load.py '{"url": …, "rate": 5, "at_once": 200, "body": …}'``. While so many wait for
their answers it sends none; with a high rate, that many clients ask again and again. On SIGTERM it stops sending, waits
for the answers under way, prints the last line with ``"done": true`` and ends. Needs httpx and nothing of this project.
"""

import asyncio
import json
import signal
import sys
import time

import httpx

MAX_SECONDS = 2400


class Counts:
    """What became of the requests."""

    def __init__(self):
        self.begun = time.time()
        self.sent = self.answered = 0
        self.failures = []
        self.slowest = 0.0

    def line(self, *, done):
        return json.dumps(
            {
                "begun": self.begun,
                "sent": self.sent,
                "answered": self.answered,
                "failed": len(self.failures),
                "failures": self.failures[:5],
                "slowest": round(self.slowest, 2),
                "done": done,
            }
        )


async def send(client, settings, counts):
    started = time.monotonic()
    try:
        answer = await client.post(settings["url"], json=settings["body"])
        if answer.status_code == 200:
            counts.answered += 1
        else:
            counts.failures.append(f"{answer.status_code} {answer.text[:200]}")
    except httpx.HTTPError as error:
        counts.failures.append(f"{type(error).__name__} {error} after {time.monotonic() - started:.1f} s")
    counts.slowest = max(counts.slowest, time.monotonic() - started)


async def main(settings):
    counts, stop, under_way = Counts(), asyncio.Event(), set()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    begun, printed = time.monotonic(), 0.0
    # No connection is kept: every request takes its own way through the Service, as many small clients' would.
    client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
    while not stop.is_set() and time.monotonic() - begun < MAX_SECONDS:
        if len(under_way) >= settings["at_once"]:
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        else:
            task = asyncio.create_task(send(client, settings, counts))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            counts.sent += 1
        if time.monotonic() - printed > 1:
            print(counts.line(done=False), flush=True)
            printed = time.monotonic()
        # Against the clock, not after the last request: the rate holds when sending takes time.
        pause = begun + counts.sent / settings["rate"] - time.monotonic()
        if pause > 0:
            await asyncio.wait({asyncio.create_task(stop.wait())}, timeout=pause)
    await asyncio.gather(*under_way)
    print(counts.line(done=True), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
