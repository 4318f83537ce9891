"""All fields of a spec, walked from the types, and those that a manifest uses: as ``model.tokenSecret.name``."""

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from llmi_api.v1alpha1 import LLMInferenceSpec


def spec_leaves(model: type[BaseModel] = LLMInferenceSpec, prefix: str = "") -> Iterator[str]:
    """Every field that holds a value and not further fields; a list of objects counts as its objects' fields."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        inner = _find_model(field.annotation)
        if inner is None:
            yield path
        else:
            yield from spec_leaves(inner, path + ".")


def used_leaves(node: Any, prefix: str = "") -> Iterator[str]:
    """Every field of a spec in YAML, in the same words; a map of free keys gives them too, which does no harm."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield prefix + name
            yield from used_leaves(child, prefix + name + ".")
    elif isinstance(node, list):
        for child in node:
            yield from used_leaves(child, prefix)


def _find_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in {list, tuple, typing.Union, types.UnionType}:
        return next((found for part in typing.get_args(annotation) if (found := _find_model(part))), None)
    return None
