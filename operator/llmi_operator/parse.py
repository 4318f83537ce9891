"""Raw body → LLMInference, or a sentence for its owner."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from llmi_api.v1alpha1 import LLMInference, LLMInferenceSpec, LLMInferenceStatus
from llmi_operator.errors import InvalidSpecError


@dataclass(frozen=True)
class Resource:
    """A parsed LLMInference with the parts of its metadata that we use."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: LLMInferenceSpec


def parse_resource(body: Mapping[str, Any]) -> Resource:
    """Turn a stored object into a typed one.

    Raises:
        InvalidSpecError: It breaks a rule that admission did not know.
    """
    try:
        parsed = LLMInference.model_validate({"spec": body.get("spec") or {}})
    except ValidationError as error:
        raise InvalidSpecError("; ".join(_sentence(item) for item in error.errors()[:3])) from error
    metadata = body["metadata"]
    return Resource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=parsed.spec,
    )


def parse_status(body: Mapping[str, Any]) -> LLMInferenceStatus:
    """Read the status that was published last; an unreadable one counts as none."""
    try:
        return LLMInferenceStatus.model_validate(body.get("status") or {})
    except ValidationError:
        return LLMInferenceStatus()


def _sentence(item: ErrorDetails) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return message
    return f"{'.'.join(str(part) for part in item['loc'])}: {message}"
