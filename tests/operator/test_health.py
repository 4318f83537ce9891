import time

import aiohttp
import pytest

from llmi_operator.health import Health, start_health_server


@pytest.fixture
def health():
    return Health(resync_seconds=10)


@pytest.fixture
async def ask(health):
    runner = await start_health_server(health, "127.0.0.1", 0)
    port = runner.addresses[0][1]

    async def ask(path):
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, await answer.text()

    yield ask
    await runner.cleanup()


async def test_alive_but_not_ready_before_everything_was_listed(ask):
    assert (await ask("/livez"))[0] == 200
    assert await ask("/readyz") == (503, "not listed yet")


async def test_ready_after_everything_was_listed(ask, health):
    health.primed_at = time.monotonic
    assert await ask("/readyz") == (200, "ok")


async def test_not_alive_when_nothing_was_listed_for_long(ask, health):
    health.primed_at = lambda: time.monotonic() - 3 * 10 - 61
    assert await ask("/livez") == (503, "no complete listing for a long time")


async def test_not_alive_when_the_queue_does_not_move(ask, health):
    health.oldest_wait = lambda: 301
    assert await ask("/livez") == (503, "the queue does not move")


async def test_not_alive_when_a_watch_has_ended(ask, health):
    health.longest_silence = lambda: 91
    assert await ask("/livez") == (503, "a watch has ended: the API server answers, and is not asked")


async def test_metrics_are_served(ask):
    assert "llmi_operator_passes_total" in (await ask("/metrics"))[1]
