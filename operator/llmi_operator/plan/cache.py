"""The PersistentVolumeClaim that keeps downloads, and how a pod uses it."""

from typing import Any

from llmi_api.v1alpha1.model_source import CacheAccessMode, CacheRetention, ModelCache, ModelSource
from llmi_operator.parse import Resource
from llmi_operator.plan.names import make_cache_name, make_metadata
from llmi_operator.plan.quantity import parse_quantity, write_quantity

CACHE_VOLUME = "cache"


def build_cache(resource: Resource, cache: ModelCache, live_size: str | None) -> dict[str, Any]:
    """Build the claim. One that is kept has no owner, and is known again by its labels.

    Args:
        resource: The resource it is for.
        cache: What the user wrote.
        live_size: Size of the claim that exists: a claim never shrinks, so a larger one keeps its size.
    """
    metadata = make_metadata(resource, make_cache_name(resource))
    if cache.retention is CacheRetention.RETAIN:
        del metadata["ownerReferences"]
    spec: dict[str, Any] = {
        "accessModes": [(cache.access_mode or CacheAccessMode.READ_WRITE_ONCE).value],
        "resources": {"requests": {"storage": _choose_size(write_quantity(cache.size), live_size)}},
    }
    if cache.storage_class is not None:
        spec["storageClassName"] = cache.storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def build_cache_volume(resource: Resource, cache: ModelCache) -> dict[str, Any]:
    """Build the volume: the user's claim, or ours."""
    return {
        "name": CACHE_VOLUME,
        "persistentVolumeClaim": {"claimName": cache.claim or make_cache_name(resource)},
    }


def needs_one_node(source: ModelSource) -> bool:
    """Whether all replicas must run on one node, because our claim can be used on one only."""
    return source.cache is not None and source.cache.is_for_one_node


def _choose_size(wanted: str, live: str | None) -> str:
    there, asked = parse_quantity(live), parse_quantity(wanted)
    return live if live is not None and there and asked and there > asked else wanted
