import aiohttp
import pytest
from aiohttp import web

from llmi_operator.cluster.streams import Streams


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gaps():
    return []


@pytest.fixture
def streams(clock, gaps):
    return Streams(clock=clock, on_gap=lambda: gaps.append(True))


@pytest.fixture
async def ask(streams):
    async def answer(request):
        return web.json_response({}, status=int(request.query.get("status", 200)))

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with streams.make_session(None, {"Authorization": "Bearer x"}, "me") as session:

        async def ask(path):
            async with session.get(url + path) as response:
                await response.read()
                return response.request_info.headers

        yield ask
    await runner.cleanup()


async def test_the_session_says_who_it_is(ask):
    headers = await ask("/pods?limit=500")
    assert (headers["Authorization"], headers["User-Agent"]) == ("Bearer x", "me")


async def test_before_any_watch_nothing_is_silent(streams, clock):
    clock.now += 1000
    assert streams.longest_silence(0) == 0


async def test_the_watch_that_was_silent_for_longest_counts(ask, streams, clock):
    await ask("/pods?watch=true")
    clock.now += 10
    await ask("/services?watch=true")
    clock.now += 5
    assert streams.longest_silence(0) == 15
    await ask("/pods?watch=true")
    assert streams.longest_silence(0) == 5


async def test_while_the_api_server_did_not_answer_no_watch_could_give_a_sign(ask, streams, clock):
    await ask("/pods?watch=true")
    clock.now += 300
    assert streams.longest_silence(clock.now - 2) == 2


async def test_a_second_listing_means_a_gap(ask, gaps):
    await ask("/pods?limit=500")
    await ask("/pods?limit=500&continue=abc")
    await ask("/services?limit=500")
    assert gaps == []
    await ask("/pods?limit=500")
    assert gaps == [True]


async def test_a_right_that_is_lost_or_comes_back_means_a_gap_once(ask, gaps):
    await ask("/pods?limit=500")
    for _ in range(3):
        await ask("/pods?watch=true&status=403")
    assert gaps == [True]
    await ask("/services?watch=true&status=403")
    assert gaps == [True, True]
    for _ in range(3):
        await ask("/pods?watch=true")
    assert gaps == [True, True, True]


async def test_a_session_that_cannot_connect_tells_nothing(streams, clock):
    async with streams.make_session(None, {}, "me") as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("http://127.0.0.1:9/pods?watch=true")
    clock.now += 10
    assert streams.longest_silence(0) == 0
