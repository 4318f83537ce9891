"""Generated specs of LLMInference: valid ones over every field, and ones with a single property changed.

Numbers, choices, lists and the nesting follow from the schema that the types give, so a new field is generated from the
day it exists. Texts and amounts cannot be guessed from a pattern: each has its values in `VALUES`, and a field without
them is an error that names the field (tests/contract). What rules tie together is mended in `MENDERS`.

Fields are named as users write them: ``model.tokenSecret.name``, ``scheduling.tolerations[].key``.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from llmi_api.crd import build_crd
from llmi_api.v1alpha1 import LLMInferenceSpec
from llmi_operator.plan.quantity import parse_quantity

Json = dict[str, Any]
LONG_LABEL = "x" * 63
LONG_NAME = "n" * 253
NO_IMAGE = "registry.invalid/there/is/no:such"
"""An image that cannot exist."""
NO_NODE = {"llminference.dev/no-node": "has-this"}
"""A selector that no node fits."""
HUGE_MEMORY = "465458732Gi"
"""Memory that no node has."""
SMALLEST: Json = {"model": {"id": "google-bert/bert-large-uncased"}, "task": "fill-mask"}
LONGEST_LIST = 3
PRESENCE = 0.4
"""How often an optional property is there."""

_CPU = (1, "500m", "1500m", "2", "0.25", "1e0", 64)
_MEMORY = ("2Gi", "1024Mi", "3000M", "1e9", 1073741824, "1.5Gi", HUGE_MEMORY)
_DISK = ("4Gi", "4096Mi", "20G")
_SECRETS = ("keys", "a.b", LONG_NAME)
_KEYS = ("token", "A_b-c.d")
_LABELS = ({"app": "shop"}, {"team": "a", "example.com/tier": LONG_LABEL})
VALUES: dict[str, tuple[Any, ...]] = {
    "model.id": ("google-bert/bert-large-uncased", "gpt2", "A" * 96 + "/" + "b" * 96),
    "model.revision": ("main", "refs/pr/1", "0" * 40),
    "model.endpoint": ("https://hub.example", "http://[::1]:8000/api"),
    "model.tokenSecret.name": _SECRETS,
    "model.tokenSecret.key": _KEYS,
    "model.claim.name": ("models", "a.b-c", LONG_NAME),
    "model.claim.path": ("bert", "a/b_c/D.e"),
    "model.image.reference": ("registry.example/model:1", "m@sha256:" + "0" * 64, NO_IMAGE),
    "model.image.path": ("files", "a/b"),
    "model.cache.claim": ("cache", LONG_NAME),
    "model.cache.size": ("10Gi", "10240Mi", 20_000_000_000, "8Ei"),
    "model.cache.storageClass": ("fast", "a.b"),
    "engine.image": ("registry.example:5000/server:1", "server@sha256:" + "a" * 64, NO_IMAGE),
    "engine.args": ([], ["--max-num-seqs=64"], ["-O3", "$(HOME) ünï"]),
    "engine.command": (["python3", "-m", "server"], ["$(HOME) ünï"]),
    "engine.healthPath": ("/health", "/v2/health/ready?strict=1"),
    "engine.imagePullSecrets": ([], ["registry"], ["b", "a.b"]),
    "engine.env[].name": ("TOKENIZERS_PARALLELISM", "_x", "N" * 128),
    "engine.env[].value": ("", "$(id) ünï\u202e\n", "v" * 4096),
    "budget.perHour": ("2.50", 3, "500m"),
    **{f"resources.{side}.cpu": _CPU for side in ("requests", "limits")},
    **{f"resources.{side}.memory": _MEMORY for side in ("requests", "limits")},
    **{f"resources.{side}.ephemeral-storage": _DISK for side in ("requests", "limits")},
    "autoscaling.wakeUp.prometheus.serverAddress": ("http://prometheus.monitoring:9090", "https://[::1]/api"),
    "autoscaling.wakeUp.prometheus.query": ("sum(waiting)", 'sum(rate(a{b="ünï"}[1m])) or vector(0)', "x" * 2048),
    "autoscaling.wakeUp.httpAddOn.interceptorRoute": ("bert", "a.b", LONG_NAME),
    "autoscaling.wakeUp.httpAddOn.scalerAddress": ("scaler.keda:9090", "s:1"),
    "accelerator.resource": ("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-1g.10gb", "google.com/tpu"),
    "accelerator.dra.deviceClassName": ("gpu.nvidia.com", "mig.nvidia.com"),
    "accelerator.dra.selectors": (
        [],
        ["device.driver == 'gpu.nvidia.com'"],
        ["true", "!false"],
    ),
    "accelerator.products": (["NVIDIA-L4"], ["l4", "a100"], ["Standard_NC24ads_A100_v4", LONG_LABEL]),
    "scheduling.nodeSelector": ({"disk": "fast"}, {"pool": "a", "zone.example/x": ""}, {"p": LONG_LABEL}, NO_NODE),
    "scheduling.tolerations[].key": ("dedicated", "example.com/gpu", "nvidia.com/gpu"),
    "scheduling.tolerations[].value": ("models", "a.b", LONG_LABEL),
    "scheduling.runtimeClassName": ("nvidia", "a.b"),
    "scheduling.queueName": ("gpus", LONG_LABEL),
    "scheduling.priorityClassName": ("system-cluster-critical", "a.b"),
    "service.annotations": ({}, {"example.com/internal": "true", "x": "y" * 1024}),
    "service.loadBalancerClass": ("internal", "example.com/internal"),
    "service.loadBalancerSourceRanges": ([], ["10.0.0.0/8"], ["192.0.2.0/24", "203.0.113.0/24"]),
    "access.allowFrom[].cidr": ("10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"),
    "access.allowFrom[].namespaceLabels": ({}, *_LABELS),
    "access.allowFrom[].podLabels": ({}, *_LABELS),
    "access.apiKeySecret.name": _SECRETS,
    "access.apiKeySecret.key": _KEYS,
    "verify[].input": ("The capital of France is [MASK].", "ünï\u202e\n", "x" * 2048),
    "verify[].expect": ("paris", "POSITIVE"),
    "observability.metrics.labels": ({}, *_LABELS),
}
"""Valid values of the fields that the schema does not describe well enough."""
UNUSUAL: tuple[Any, ...] = (
    "", " ", "a b", "../x", "A" * 10_000, "ünï\u202e", "-1", -1, 0, 1, 2**31, 2**63, 1.5, True, [], {}, None,
)  # fmt: skip
"""What a field may get from a person in a hurry: admission refuses it, or everything behind admission takes it."""


class NoValuesError(LookupError):
    """A field has nothing to be generated from; the text names it and says where to add values."""


def generate(random: Random) -> Json:
    """One valid spec; every field can be in it."""
    while True:
        candidate = _generate("", _schema(), random)
        if is_valid(candidate):
            return candidate


def mutate(valid: Json, random: Random, *, unusual: bool = True) -> Json:
    """The spec with one property deleted, emptied, put on or beyond a bound, toggled, or given a telling value.

    The result may be invalid, and mostly is with ``unusual`` values.
    """
    path = random.choice(list(fields()))
    if random.randrange(4) == 0:
        return _without(valid, path)
    return _with(valid, path, random.choice([*_telling(path, fields()[path]), *(UNUSUAL if unusual else ({},))]))


def specs() -> st.SearchStrategy[Json]:
    """The same for hypothesis, which shrinks what fails."""
    return st.randoms(use_true_random=False).map(generate)


def shrink(spec: Json, still_fails: Callable[[Json], bool]) -> Json:
    """Take properties away for as long as it stays valid and fails all the same."""
    for path in fields():
        smaller = _without(spec, path)
        if smaller != spec and is_valid(smaller) and still_fails(smaller):
            return shrink(smaller, still_fails)
    return spec


def is_valid(candidate: Json) -> bool:
    """Whether the types take it."""
    try:
        LLMInferenceSpec.model_validate(candidate)
    except ValidationError:
        return False
    return True


@functools.cache
def fields() -> dict[str, Json]:
    """The schema of every field of the spec, by its name."""
    return dict(_walk("", _schema()))


def equivalents(spec: Json) -> Iterator[tuple[str, Json]]:
    """The same intent in other words, each with what was changed."""
    yield "keys in another order", _reverse(spec)
    yield "defaults written out", LLMInferenceSpec.model_validate(spec).to_manifest()
    yield "amounts in other words", _reword(spec)


@functools.cache
def _schema() -> Json:
    whole: Json = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec: Json = whole["properties"]["spec"]
    return spec


def _walk(path: str, schema: Json) -> Iterator[tuple[str, Json]]:
    for name, child in schema.get("properties", {}).items():
        inner = f"{path}.{name}".lstrip(".")
        yield inner, child
        yield from _walk(inner, child)
    if "properties" in schema.get("items", {}):
        yield from _walk(f"{path}[]", schema["items"])


def _generate(path: str, schema: Json, random: Random) -> Any:
    if path in VALUES:
        return copy.deepcopy(random.choice(VALUES[path]))
    if "enum" in schema:
        return random.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "boolean":
        return random.choice([False, True])
    if kind == "integer":
        least, most = _bounds(schema)
        return random.choice([least, most, random.randint(least, most)])
    if kind == "array":
        length = random.randint(schema.get("minItems", 0), min(LONGEST_LIST, schema["maxItems"]))
        return _distinct(schema, [_generate(f"{path}[]", schema["items"], random) for _ in range(length)])
    if "properties" in schema:
        return _generate_object(path, schema, random)
    raise NoValuesError(f"spec.{path} has no values to test with: add some to VALUES in {__file__}")


def _generate_object(path: str, schema: Json, random: Random) -> Json:
    required = schema.get("required", ())
    value = {
        name: _generate(f"{path}.{name}".lstrip("."), child, random)
        for name, child in schema["properties"].items()
        if name in required or random.random() < PRESENCE
    }
    return MENDERS[path](value) if path in MENDERS else value


def _distinct(schema: Json, items: list[Any]) -> list[Any]:
    """What a list of type map or set may hold."""
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if not keys:
        return items
    return list({tuple(item.get(key) for key in keys): item for item in items}.values())


def _bounds(schema: Json) -> tuple[int, int]:
    return schema.get("minimum", 0), schema.get("maximum", 2**31 - 1)


def _mend_spec(value: Json) -> Json:
    value = _drop(value, "replicas") if "autoscaling" in value else value
    value = value if {"replicas", "autoscaling"} & value.keys() else _drop(value, "budget")
    if value["task"] != "text-generation" and "limits" in value:
        value = {**value, "limits": _drop(value["limits"], "maxOutputTokens")}
    cache = value["model"].get("cache", {})
    if "scheduling" in value and "size" in cache and cache.get("accessMode") != "ReadWriteMany":
        value = {**value, "scheduling": _drop(value["scheduling"], "spread")}
    return _drop(value, "verify") if value["task"] == "embeddings" else value


def _mend_model(value: Json) -> Json:
    kept = next((name for name in ("image", "claim", "id") if name in value), "id")
    if kept != "id":
        return {kept: value[kept]}
    return {"id": VALUES["model.id"][0], **_drop(value, "claim", "image")}


def _mend_cache(value: Json) -> Json:
    return {"claim": value["claim"]} if "claim" in value else {"size": VALUES["model.cache.size"][0], **value}


def _mend_engine(value: Json) -> Json:
    name = value.get("name", "transformers")
    if name == "custom":
        return {"image": VALUES["engine.image"][0], **value}
    value = _drop(value, "command", "port", "healthPath")
    return _drop(value, "args") if name in {"transformers", "triton"} else value


def _mend_service(value: Json) -> Json:
    if value.get("type") == "LoadBalancer":
        return value
    return _drop(value, "loadBalancerClass", "loadBalancerSourceRanges")


def _mend_peer(value: Json) -> Json:
    labelled = value.keys() & {"podLabels", "namespaceLabels"}
    return _drop(value, "cidr") if labelled else {"cidr": VALUES["access.allowFrom[].cidr"][0], **value}


def _mend_autoscaling(value: Json) -> Json:
    least = min(value.get("minReplicas", 1), value["maxReplicas"])
    if least == 0 and value.get("wakeUp") and value.get("backend") == "keda":
        return value | {"minReplicas": 0}
    value = _drop(value, "wakeUp")
    return value | {"minReplicas": max(least, 1)} if "minReplicas" in value else value


def _mend_wake_up(value: Json) -> Json:
    return _drop(value, "httpAddOn") if "prometheus" in value else value


def _mend_targets(value: Json) -> Json:
    return value or {"cpuPercent": 70}


def _mend_resources(value: Json) -> Json:
    limits = value.get("limits", {})
    above = [name for name, amount in value.get("requests", {}).items() if _amount(amount) > _amount(limits.get(name))]
    return value | {"limits": _drop(limits, *above)} if above and limits else value


def _mend_accelerator(value: Json) -> Json:
    value = value if "platform" in value else _drop(value, "spot")
    return _drop(value, "resource", "count", "products") if "dra" in value else value


def _mend_toleration(value: Json) -> Json:
    if value.get("operator") == "Exists" or "key" not in value:
        value = {**_drop(value, "value"), "operator": "Exists"}
    return value if value.get("effect") == "NoExecute" else _drop(value, "tolerationSeconds")


MENDERS: dict[str, Callable[[Json], Json]] = {
    "": _mend_spec,
    "model": _mend_model,
    "model.cache": _mend_cache,
    "engine": _mend_engine,
    "service": _mend_service,
    "access.allowFrom[]": _mend_peer,
    "autoscaling": _mend_autoscaling,
    "autoscaling.targets": _mend_targets,
    "autoscaling.wakeUp": _mend_wake_up,
    "resources": _mend_resources,
    "accelerator": _mend_accelerator,
    "scheduling.tolerations[]": _mend_toleration,
}
"""Make an object keep the rules that tie its properties together; without one, the types refuse too many examples."""


def _telling(path: str, schema: Json) -> list[Any]:
    if path in VALUES:
        return list(VALUES[path])
    if "enum" in schema:
        return list(schema["enum"])
    if schema.get("type") == "boolean":
        return [True, False]
    if schema.get("type") == "integer":
        least, most = _bounds(schema)
        return [least - 1, least, (least + most) // 2, most, most + 1]
    return []


def _with(spec: Json, path: str, value: Any) -> Json:
    changed = copy.deepcopy(spec)
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = _enter(place, name)
    place[last] = value
    return changed


def _enter(place: Json, name: str) -> Json:
    if name.endswith("[]"):
        items = place.setdefault(name[:-2], [{}])
        if not items:
            items.append({})
        inner: Json = items[0]
        return inner
    if not isinstance(place.get(name), dict):
        place[name] = {}
    found: Json = place[name]
    return found


def _without(spec: Json, path: str) -> Json:
    changed = copy.deepcopy(spec)
    *parents, last = path.split(".")
    place: Any = changed
    for name in parents:
        place = place.get(name.removesuffix("[]")) if isinstance(place, dict) else None
        if isinstance(place, list):
            place = place[0] if place else None
    if isinstance(place, dict):
        place.pop(last, None)
    return changed


def _drop(value: Json, *names: str) -> Json:
    return {name: inner for name, inner in value.items() if name not in names}


def _amount(value: object) -> float:
    return float("inf") if value is None else float(parse_quantity(value) or 0)


def _reverse(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reverse(value[name]) for name in reversed(value)}
    return [_reverse(item) for item in value] if isinstance(value, list) else value


def _reword(spec: Json) -> Json:
    changed = copy.deepcopy(spec)
    for amounts in changed.get("resources", {}).values():
        amounts.update({name: _OTHER_WORDS.get(str(amount), amount) for name, amount in amounts.items()})
    return changed


_OTHER_WORDS: dict[str, Any] = {
    "1": "1000m", "500m": "0.5", "1500m": "1.5", "2": 2, "0.25": "250m", "1e0": 1, "64": "64e0",
    "2Gi": "2048Mi", "1024Mi": "1Gi", "3000M": "3G", "1e9": "1G", "1073741824": "1Gi", "1.5Gi": "1536Mi",
    "4Gi": 4294967296, "4096Mi": "4Gi", "20G": "20e9",
}  # fmt: skip
