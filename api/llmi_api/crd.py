"""Turn the resource types into a CustomResourceDefinition, as a plain dict.

Pydantic writes JSON Schema 2020-12; the API server wants a structural OpenAPI v3 schema. The difference
is handled here and nowhere else: references are inlined, "X or null" becomes an optional X, titles and
null defaults go, a default of a nested object becomes ``{}`` so that the server fills in the rest.
"""

from typing import Any

from llmi_api import labels
from llmi_api.v1alpha1 import LLMInference

Schema = dict[str, Any]

KEPT = {
    "type", "description", "format", "enum", "default", "required", "pattern", "items", "properties",
    "additionalProperties", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "maxProperties",
}  # fmt: skip
EXTENSION = "x-kubernetes-"


class SchemaError(ValueError):
    """The types say something that a structural schema cannot express; the message names the place."""


def build_crd() -> dict[str, Any]:
    """Build the CustomResourceDefinition of LLMInference.

    Raises:
        SchemaError: a type uses a construct that the API server would refuse or ignore.
    """
    schema = structural_schema(LLMInference.model_json_schema(by_alias=True, mode="validation"))
    check_structural(schema)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{labels.PLURAL}.{labels.GROUP}",
            "labels": {labels.PART_OF_LABEL: "llminference"},
        },
        "spec": {
            "group": labels.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": labels.KIND,
                "listKind": f"{labels.KIND}List",
                "plural": labels.PLURAL,
                "singular": labels.SINGULAR,
                "shortNames": [labels.SHORT_NAME],
                "categories": [labels.CATEGORY],
            },
            "versions": [
                {
                    "name": labels.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _printer_columns(),
                }
            ],
        },
    }


def _printer_columns() -> list[dict[str, Any]]:
    columns = [
        ("Model", "string", ".status.model.name", 0, "The model that is served"),
        ("Engine", "string", ".status.engine.name", 0, "What runs the model"),
        ("Ready", "string", ".status.ready", 0, "Ready replicas of wanted ones"),
        ("URL", "string", ".status.url", 0, "Where the model answers"),
        ("Why", "string", ".status.why", 0, "Empty when all is well; else what is wrong and what to do next"),
        ("Task", "string", ".spec.task", 1, "What the model is asked to do"),
        ("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason", 1, "One word why"),
        ("Revision", "string", ".status.model.revision", 1, "Commit that the replicas run"),
        ("Image", "string", ".status.engine.image", 1, "Image of the engine"),
        ("Age", "date", ".metadata.creationTimestamp", 0, "Time since creation"),
    ]
    return [
        {"name": name, "type": kind, "jsonPath": path, "description": text, **({"priority": 1} if wide else {})}
        for name, kind, path, wide, text in columns
    ]


def structural_schema(schema: Schema) -> Schema:
    """Rewrite a Pydantic JSON schema as a structural OpenAPI v3 schema with all references inlined."""
    root = _convert(schema, schema.get("$defs", {}))
    # metadata is the API server's business, but rules on its name need it to be there.
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {**root, "properties": {**properties, **root["properties"]}}


def _convert(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
        return _convert(node, definitions)
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
        if len(choices) == 1:
            outer = {key: value for key, value in node.items() if key != "anyOf"}
            return _convert({**choices[0], **outer}, definitions)
    converted = {key: value for key, value in node.items() if key in KEPT or key.startswith(EXTENSION)}
    if node.get("default", ...) is None:
        del converted["default"]
    if isinstance(converted.get("additionalProperties"), bool):
        del converted["additionalProperties"]
    if "properties" in node:
        converted["properties"] = {
            name: _convert(child, definitions) for name, child in sorted(node["properties"].items())
        }
        if "default" in converted:
            converted["default"] = _without_defaults(converted, converted["default"])
    if "items" in node:
        converted["items"] = _convert(node["items"], definitions)
    return converted


def _without_defaults(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    """Leave out of an object's default what comes out the same by itself: absent fields, and fields' own defaults."""
    kept = {}
    for name, inner in value.items():
        child = schema["properties"][name]
        reduced = _without_defaults(child, inner) if isinstance(inner, dict) and "properties" in child else inner
        if reduced is not None and reduced != child.get("default"):
            kept[name] = reduced
    return kept


def check_structural(schema: Schema, path: str = "") -> None:
    """Refuse what the API server would refuse or silently drop.

    Raises:
        SchemaError: names the path and the rule.
    """
    for key in schema:
        if key not in KEPT and not key.startswith(EXTENSION):
            raise SchemaError(f"{path or '.'}: {key} has no place in a structural schema")
    if "type" not in schema and "x-kubernetes-int-or-string" not in schema:
        raise SchemaError(f"{path or '.'}: no type")
    if path.startswith((".spec", ".status")):
        _check_documented_and_bounded(schema, path)
    keeps_something = schema.get("properties") or "additionalProperties" in schema or path == ".metadata"
    if schema.get("type") == "object" and not keeps_something:
        raise SchemaError(f"{path}: an object without properties keeps nothing")
    for name, child in schema.get("properties", {}).items():
        check_structural(child, f"{path}.{name}")
    if "items" in schema:
        check_structural({"description": "an element", **schema["items"]}, f"{path}[]")


def _check_documented_and_bounded(schema: Schema, path: str) -> None:
    """Every field explains itself and every size has an upper bound, or CEL's cost estimate explodes."""
    if not schema.get("description"):
        raise SchemaError(f"{path}: no description, so kubectl explain has nothing to say")
    kind = schema.get("type")
    if kind == "string" and not ({"maxLength", "enum", "format"} & set(schema)):
        raise SchemaError(f"{path}: no maxLength")
    if kind == "array" and not ("maxItems" in schema and "x-kubernetes-list-type" in schema):
        raise SchemaError(f"{path}: needs maxItems and x-kubernetes-list-type")
    if "additionalProperties" in schema and "maxProperties" not in schema:
        raise SchemaError(f"{path}: no maxProperties")
