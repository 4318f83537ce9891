"""LLMInferences out of a file, as kubectl apply would take them."""

from collections.abc import Mapping
from typing import Any

import yaml

from llmi_api import labels
from llmi_kubectl.errors import Exit, PluginError

_Body = Mapping[str, Any]


def read_manifests(text: str, source: str) -> list[_Body]:
    """Read every LLMInference of a file; other kinds in it are passed over.

    Raises:
        PluginError: It is no YAML, or holds none that can be applied.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise PluginError(f"{source} is not YAML: {' '.join(str(error).split())}.", Exit.BAD_USAGE) from error
    found = [item for document in documents for item in _unpack(document) if item.get("kind") == labels.KIND]
    if not found:
        raise PluginError(f"{source} holds no {labels.KIND}: name a file that does.", Exit.BAD_USAGE)
    for item in found:
        _check(item, source)
    return found


def choose_namespace(manifest: _Body, asked: str | None, usual: str) -> str:
    """The namespace that a manifest goes to.

    Raises:
        PluginError: It names one, and another was asked for.
    """
    named = manifest["metadata"].get("namespace")
    if named and asked and named != asked:
        name = manifest["metadata"]["name"]
        raise PluginError(
            f"{name} is for the namespace {named}, and --namespace says {asked}: leave one out.", Exit.BAD_USAGE
        )
    return str(named or asked or usual)


def _unpack(document: object) -> list[_Body]:
    if not isinstance(document, dict):
        return []
    items = document.get("items")
    if document.get("kind") == "List" and isinstance(items, list):
        return [item for item in items if isinstance(item, dict)]
    return [document]


def _check(item: _Body, source: str) -> None:
    if item.get("apiVersion") != labels.API_VERSION:
        raise PluginError(
            f"{source}: apiVersion is {item.get('apiVersion')}, and this knows {labels.API_VERSION}.", Exit.BAD_USAGE
        )
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise PluginError(f"{source}: an {labels.KIND} has no metadata.name: give it one.", Exit.BAD_USAGE)
    if not isinstance(item.get("spec") or {}, dict):
        raise PluginError(f"{source}: spec of {metadata['name']} is not a mapping of fields.", Exit.BAD_USAGE)
