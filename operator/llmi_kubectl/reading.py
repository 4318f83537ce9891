"""Which objects each command reads, and what it makes of those that it may not read."""

import asyncio
import difflib
from collections.abc import Sequence

from llmi_api import labels
from llmi_kubectl.change import Surroundings
from llmi_kubectl.client import Client, Object
from llmi_kubectl.errors import AbsentError, PluginError, RefusedError
from llmi_kubectl.operator_settings import OPERATOR_LABELS, find_defaults
from llmi_operator.cluster.read import read_node
from llmi_operator.kinds import CHILDREN, CONFIG_MAP, DEPLOYMENT, EVENT, INFERENCE, NODE, PLACED_POD, POD, Kind
from llmi_operator.observed import Capacity
from llmi_operator.prices import PriceList, PriceListError, parse_prices
from llmi_operator.settings import ServerDefaults
from llmi_operator.status.capacity import sum_requests

_Notes = tuple[str, ...]
PRICES = "llminference-prices"
PRICES_KEY = "prices.yaml"
USUAL_NAMESPACE = "llminference-system"
MOST_PODS_WITH_EVENTS = 10
NO_CAPACITY = "You may not list the nodes and pods of the whole cluster, so whether there is room is not known."
NO_SETTINGS = (
    "The operator's settings could not be read, so this compares with the spec as it is stored, not with what runs."
)


async def find_inference(client: Client, namespace: str, name: str) -> Object:
    """Read one LLMInference.

    Raises:
        AbsentError: It does not exist; the text has the nearest name.
    """
    try:
        return await client.get(INFERENCE, namespace, name)
    except AbsentError:
        known = [item["metadata"]["name"] for item in await _list_inferences(client, namespace)]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    hint = f"did you mean {nearest[0]}?" if nearest else "there is none there at all; see --namespace."
    raise AbsentError(f"There is no LLMInference {name} in the namespace {namespace}: {hint}")


async def _list_inferences(client: Client, namespace: str) -> list[Object]:
    try:
        return await client.list(INFERENCE, namespace)
    except AbsentError as error:
        raise AbsentError("The cluster does not know LLMInference: install it, see docs/install.md.") from error


async def list_pods(client: Client, namespace: str, name: str) -> list[Object]:
    """The pods of one LLMInference."""
    return await client.list(POD, namespace, labels=_own(name))


async def list_events(
    client: Client, namespace: str, name: str, pods: Sequence[Object]
) -> tuple[list[Object], tuple[str, ...]]:
    """Events about an LLMInference and its newest pods, and what kept others from being read."""
    subjects = [(labels.KIND, name)]
    newest = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    subjects += [("Pod", pod["metadata"]["name"]) for pod in newest[:MOST_PODS_WITH_EVENTS]]
    selectors = [f"involvedObject.kind={kind},involvedObject.name={about}" for kind, about in subjects]
    try:
        lists = await asyncio.gather(*(client.list(EVENT, namespace, fields=fields) for fields in selectors))
    except RefusedError as error:
        return [], (str(error),)
    return [event for events in lists for event in events], ()


async def read_surroundings(client: Client, namespace: str, name: str) -> Surroundings:
    """All that a change of one LLMInference depends on."""
    (objects, hidden), ((defaults, unset), (prices, unpriced)), (capacity, unseen), stored = await asyncio.gather(
        _list_objects(client, namespace, name),
        _read_operator(client, namespace),
        _read_capacity(client),
        _find_stored(client, namespace, name),
    )
    return Surroundings(
        stored=stored,
        objects=objects,
        defaults=defaults,
        capacity=capacity,
        prices=prices,
        hidden=frozenset(hidden),
        notes=(*unset, *unpriced, *unseen),
    )


async def _find_stored(client: Client, namespace: str, name: str) -> Object | None:
    # Among all, because a resource and a whole kind that are missing look the same to one that is asked for.
    found = await _list_inferences(client, namespace)
    return next((item for item in found if item["metadata"]["name"] == name), None)


async def _list_objects(client: Client, namespace: str, name: str) -> tuple[list[tuple[Kind, Object]], set[str]]:
    """Children and pods of an LLMInference and what else has its name; and the kinds that may not be read."""

    async def read(kind: Kind) -> list[tuple[Kind, Object]]:
        try:
            found = await client.list(kind, namespace, labels=_own(name))
            if kind != POD and all(item["metadata"]["name"] != name for item in found):
                found += await _find_namesake(client, kind, namespace, name)
        except AbsentError:
            return []  # the cluster does not know the kind
        except RefusedError:
            hidden.add(kind.name)
            return []
        return [(kind, item) for item in found]

    hidden: set[str] = set()
    lists = await asyncio.gather(*(read(kind) for kind in (*CHILDREN, POD)))
    return [item for items in lists for item in items], hidden


async def _find_namesake(client: Client, kind: Kind, namespace: str, name: str) -> list[Object]:
    try:
        return [await client.get(kind, namespace, name)]
    except AbsentError:
        return []


async def _read_operator(
    client: Client, namespace: str
) -> tuple[tuple[ServerDefaults | None, _Notes], tuple[PriceList | None, _Notes]]:
    """The operator's settings, and the prices that lie beside it."""
    defaults, notes = await _read_defaults(client, namespace)
    return (defaults, notes), await _read_prices(client, defaults.operator_namespace if defaults else USUAL_NAMESPACE)


async def _read_prices(client: Client, namespace: str) -> tuple[PriceList | None, _Notes]:
    try:
        body = await client.get(CONFIG_MAP, namespace, PRICES)
        return parse_prices(str((body.get("data") or {}).get(PRICES_KEY, ""))), ()
    except AbsentError:
        return None, ()
    except RefusedError:
        return None, (f"You may not read the ConfigMap {PRICES} in {namespace}, so what it costs is not known.",)
    except PriceListError as error:
        return None, (f"What it costs is not known: {error}.",)


async def _read_defaults(client: Client, namespace: str) -> tuple[ServerDefaults | None, _Notes]:
    for where in ("", USUAL_NAMESPACE):
        try:
            found = find_defaults(await client.list(DEPLOYMENT, where, labels=OPERATOR_LABELS), namespace)
        except PluginError:
            continue
        if found is not None:
            return found, ()
    return None, (NO_SETTINGS,)


async def _read_capacity(client: Client) -> tuple[Capacity | None, _Notes]:
    try:
        nodes, pods = await asyncio.gather(client.list(NODE), client.list(PLACED_POD, fields=PLACED_POD.field_selector))
    except RefusedError:
        return None, (NO_CAPACITY,)
    return Capacity(tuple(map(read_node, nodes)), sum_requests(pods)), ()


def _own(name: str) -> str:
    return f"{labels.OWNER_LABEL}={name}"
