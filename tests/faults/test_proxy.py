"""The proxy does what a plan says: without that, the tests beside this one would prove nothing."""

import json
import threading
import time
import urllib.request

import aiohttp
import pytest

from llmi_testing.eventually import eventually
from llmi_testing.fault_plan import (
    ALWAYS,
    After,
    Answer,
    Cut,
    Delay,
    DropAfter,
    DropBefore,
    Fault,
    Hide,
    Hold,
    Match,
    Reverse,
    Silence,
    StaleList,
    read_call,
)
from llmi_testing.fault_proxy import FaultProxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
MAPS = Match(kinds=("configmaps",))


@pytest.fixture(scope="module")
def token(server):
    """Of an account that may do everything."""
    binding = ("clusterrolebinding", "proxy-tester")
    server.kubectl("create", *binding, "--clusterrole=cluster-admin", "--serviceaccount=default:default")
    try:
        # The API server goes by a binding some moments after it was made.
        eventually(lambda: server.kubectl("auth", "can-i", "*", "*", "--as=system:serviceaccount:default:default"))
        yield server.kubectl("create", "token", "default").strip()
    finally:
        server.kubectl("delete", *binding)


@pytest.fixture
async def client(proxy, token):
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(proxy.url, headers=headers) as session:
        yield session


def path(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


async def create(client, namespace, name):
    async with client.post(path(namespace), json={"metadata": {"name": name}}) as answer:
        return answer.status


async def test_without_a_plan_everything_passes_and_is_logged(client, proxy, api, namespace):
    assert await create(client, namespace, "one") == 201
    assert api.get("configmaps", namespace, "one")
    exchange = proxy.calls(Match(namespace=namespace))[-1]
    call = exchange.call
    assert (call.verb, call.kind, call.namespace, exchange.status, exchange.told) == (
        "create", "configmaps", namespace, 201, 201,
    )  # fmt: skip
    assert call.body["metadata"]["name"] == "one"
    assert exchange.at <= exchange.answered_at


async def test_dropped_before_the_server_never_hears_of_it(client, proxy, api, namespace):
    proxy.use(Fault(MAPS, DropBefore()))
    with pytest.raises(aiohttp.ClientError):
        await create(client, namespace, "one")
    assert api.get("configmaps", namespace, "one") is None
    assert await create(client, namespace, "one") == 201


async def test_dropped_after_the_server_has_done_it(client, proxy, api, namespace):
    proxy.use(Fault(MAPS, DropAfter()))
    with pytest.raises(aiohttp.ClientError):
        await create(client, namespace, "one")
    assert api.get("configmaps", namespace, "one")
    assert proxy.writes(namespace)[-1].told == 0


async def test_an_answer_comes_as_often_as_it_should(client, proxy, namespace):
    proxy.use(Fault(MAPS, Answer(429, retry_after=7), skip=1, times=2))
    codes = [await create(client, namespace, f"m{number}") for number in range(4)]
    assert codes == [201, 429, 429, 201]
    proxy.use(Fault(MAPS, Answer(429, retry_after=7)))
    async with client.get(path(namespace)) as answer:
        assert answer.headers["Retry-After"] == "7"


async def test_a_delay_delays(client, proxy, namespace):
    proxy.use(Fault(MAPS, Delay(0.3)))
    began = time.monotonic()
    assert await create(client, namespace, "one") == 201
    assert time.monotonic() - began >= 0.3


async def test_something_can_happen_between_the_deed_and_its_answer(client, proxy, api, namespace):
    seen = []
    proxy.use(Fault(MAPS, After(lambda: seen.append(api.get("configmaps", namespace, "one") is not None))))
    assert await create(client, namespace, "one") == 201
    assert seen == [True]


async def test_a_stale_list_is_the_one_from_before(client, proxy, namespace):
    async def names():
        async with client.get(path(namespace)) as answer:
            return {item["metadata"]["name"] for item in (await answer.json())["items"]}

    before = await names()
    proxy.use(Fault(MAPS, StaleList(), times=ALWAYS))
    await create(client, namespace, "one")
    assert await names() == before
    proxy.stop()
    assert "one" in await names()


@pytest.fixture
def watch(proxy, namespace, token):
    """Reads watches of the namespace's ConfigMaps in threads: the names in each, and None at its end."""

    def read(seen):
        url = f"{proxy.url}{path(namespace)}?watch=true"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - loopback
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                for line in answer:
                    name = json.loads(line)["object"]["metadata"]["name"]
                    seen.append(name)
        except OSError:
            pass
        seen.append(None)

    def start(*there):
        """Begin one; it sees what is there already, and then what comes."""
        seen = []
        threading.Thread(target=read, args=(seen,), daemon=True).start()
        eventually(lambda: seen and set(seen) == {"kube-root-ca.crt", *there})
        seen.clear()
        return seen

    return start


async def test_a_watch_can_be_cut(client, proxy, watch, namespace):
    seen = watch()
    proxy.use(Fault(MAPS, Cut()))
    eventually(lambda: seen == [None])
    proxy.stop()
    seen = watch()
    proxy.use(Fault(MAPS, Cut(0.5)))
    eventually(lambda: seen == [None])


async def test_a_silent_watch_stays_open_and_stays_silent(client, proxy, watch, namespace):
    silent = watch()
    proxy.use(Fault(MAPS, Silence()))
    await create(client, namespace, "one")
    other = watch("one")
    await create(client, namespace, "two")
    eventually(lambda: other == ["two"])
    assert silent == []


async def test_events_can_be_held_turned_round_and_hidden(client, proxy, watch, namespace):
    seen = watch()
    proxy.use(
        Fault(Match(name="held"), Hold(2.0)),
        Fault(Match(name="hidden"), Hide()),
        Fault(MAPS, Reverse(1.5)),
    )
    for name in ("one", "two", "hidden", "held"):
        await create(client, namespace, name)
    eventually(lambda: seen == ["two", "one", "held"])


async def test_a_partition_has_two_sides(client, proxy, namespace):
    with proxy.partition(Match(agent="other")):
        assert await create(client, namespace, "one") == 201
    with proxy.partition(), pytest.raises(aiohttp.ClientError):
        await create(client, namespace, "two")
    assert await create(client, namespace, "two") == 201


async def test_it_speaks_tls_when_asked_to(server, account, namespace):
    with FaultProxy(server, tls=True) as proxy:
        kubeconfig = proxy.kubeconfig(account)
        text = server.kubectl("-n", namespace, "get", "llmi", kubeconfig=kubeconfig)
        assert text == ""
        assert proxy.calls(Match(verbs=("list",), kinds=("llminferences",), namespace=namespace))


@pytest.mark.parametrize(
    ("method", "url", "words"),
    [
        ("GET", "/api/v1/pods?watch=true", ("watch", "pods", "", "", "")),
        ("GET", "/apis/apps/v1/namespaces/a/deployments/b", ("get", "deployments", "a", "b", "")),
        ("PATCH", "/apis/x/v1/namespaces/a/things/b/status", ("patch", "things", "a", "b", "status")),
        ("DELETE", "/api/v1/namespaces/a", ("delete", "namespaces", "", "a", "")),
        ("GET", "/apis/apps/v1", ("list", "", "", "", "")),
    ],
)
def test_requests_are_named_by_their_paths(method, url, words):
    call = read_call(method, url, {})
    assert (call.verb, call.kind, call.namespace, call.name, call.subresource) == words
