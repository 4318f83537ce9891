"""LLMInferences for tests of the operator."""

from typing import Any

from llmi_api import labels
from llmi_operator.parse import Resource, parse_resource
from llmi_operator.settings import OperatorSettings

DEFAULTS = OperatorSettings().server_defaults
UID = "11111111-2222-3333-4444-555555555555"


def make_body(name: str = "bert", **spec: Any) -> dict[str, Any]:
    """Write an LLMInference as a user would; keywords replace parts of its spec, None takes them away."""
    whole = {"model": {"id": "google-bert/bert-large-uncased"}, "task": "fill-mask", **spec}
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "metadata": {"name": name},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def make_stored_body(name: str = "bert", *, uid: str = UID, generation: int = 1, **spec: Any) -> dict[str, Any]:
    """An LLMInference as the API server stores it."""
    body = make_body(name, **spec)
    body["metadata"] |= {"namespace": "models", "uid": uid, "generation": generation, "resourceVersion": "10"}
    return body


def make_resource(name: str = "bert", *, generation: int = 1, **spec: Any) -> Resource:
    """A parsed LLMInference."""
    return parse_resource(make_stored_body(name, generation=generation, **spec))
