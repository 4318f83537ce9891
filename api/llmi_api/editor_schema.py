"""The resource as JSON Schema, for editors and for checks of manifests before they reach a cluster.

It knows fields, types, bounds and descriptions. The rules that compare fields are the API server's to judge.
"""

import json
from typing import Any

from llmi_api import labels
from llmi_api.crd import EXTENSION, Schema, build_crd


def write_editor_schema() -> str:
    """Write the schema; unknown fields are refused, as `kubectl apply` does."""
    root = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    converted = _convert(root)
    converted["properties"]["apiVersion"] = {"type": "string", "enum": [labels.API_VERSION]}
    converted["properties"]["kind"] = {"type": "string", "enum": [labels.KIND]}
    # What else may stand there is Kubernetes' own schema.
    converted["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    converted["required"] = ["apiVersion", "kind", "metadata", "spec"]
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": labels.KIND, **converted}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _convert(schema: Schema) -> dict[str, Any]:
    kept: dict[str, Any] = {key: value for key, value in schema.items() if not key.startswith(EXTENSION)}
    if "x-kubernetes-int-or-string" in schema:
        kept["type"] = ["integer", "string"]
    if "properties" in schema:
        kept["properties"] = {name: _convert(child) for name, child in schema["properties"].items()}
        kept["additionalProperties"] = False
    if "items" in schema:
        kept["items"] = _convert(schema["items"])
    return kept
