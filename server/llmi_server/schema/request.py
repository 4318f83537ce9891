"""What all request bodies have in common."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from llmi_server.errors import InvalidRequestError

_MOST_TOLD = 1000
"""Faults of one body; each costs a kilobyte to tell."""

_BodyT = TypeVar("_BodyT", bound=BaseModel)


class RequestBody(BaseModel):
    """A request body: unknown fields are refused and no value is converted to another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def validate_body(kind: type[_BodyT], document: object) -> _BodyT:
    """Check a parsed document against a model.

    Raises:
        InvalidRequestError: It does not fit; names the first field at fault.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise _explained(error) from None


def _explained(error: ValidationError) -> InvalidRequestError:
    if error.error_count() > _MOST_TOLD:
        return InvalidRequestError(
            f"The body has {error.error_count()} faults; see GET /openapi.json for what it may be."
        )
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    problem = max(problems, key=lambda item: item["type"] == "extra_forbidden")
    names = [str(part)[:60] for part in problem["loc"] if isinstance(part, int) or str(part).isidentifier()]
    field = ".".join(names)[:200]
    if problem["type"] == "extra_forbidden":
        return InvalidRequestError(f"{field or 'A field'} is not supported.", param=field or None)
    if problem["type"] == "missing":
        return InvalidRequestError(f"{field} is required.", param=field or None)
    text = problem["msg"].removeprefix("Value error, ")
    return InvalidRequestError(f"{field or 'The body'}: {text}.", param=field or None)
