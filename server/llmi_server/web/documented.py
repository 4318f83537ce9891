"""Descriptions of bodies that routes read themselves, for OpenAPI."""

from typing import Any

from pydantic import BaseModel

from llmi_server.schema.error import ErrorBody

ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}}
"""Every error has the same body."""


def takes(body: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI part that says a route takes ``body``."""
    schema = body.model_json_schema(ref_template=f"#/components/schemas/{body.__name__}/$defs/{{model}}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _inlined(schema)}}}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})

    def resolve(node: object) -> object:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[str(node["$ref"]).rsplit("/", 1)[-1]])
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(value) for value in node] if isinstance(node, list) else node

    return {key: resolve(value) for key, value in schema.items()}
