"""Building blocks of the resource types: the base model, conditions, quantities, references."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

CEL = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            CEL: [
                {
                    # The API server's own grammar decides what a quantity is.
                    "rule": "isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))",
                    "message": "must be a quantity above zero, such as 500m, 2 or 4Gi",
                }
            ],
        }
    ),
]
"""A Kubernetes quantity such as ``500m``, ``2`` or ``4Gi``."""


class Model(BaseModel):
    """Base of all resource types: frozen; camelCase in YAML, snake_case in Python; unknown keys ignored.

    An older operator must survive a newer CRD, so unknown keys are dropped here and refused in tests.
    """

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore", use_enum_values=False
    )

    def to_manifest(self) -> dict[str, Any]:
        """Render as the API server stores it: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Attach CEL rules to a type: each pair is a rule and the sentence a user sees when it is broken."""
    return {CEL: [{"rule": rule, "message": message} for rule, message in pairs]}


class SecretKey(Model):
    """A key of a Secret in the same namespace."""

    name: str = Field(
        min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of a Secret in the same namespace."
    )
    key: str = Field(
        default="token",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Key in the Secret whose value is used.",
    )


class Condition(Model):
    """One statement about the resource, as Kubernetes' API conventions define conditions."""

    type: str = Field(max_length=64, description="What the condition is about, such as Ready.")
    status: str = Field(
        json_schema_extra={"enum": ["True", "False", "Unknown"]},
        description="Whether it holds; Unknown until an operator has seen the resource.",
    )
    reason: str = Field(
        max_length=128, description="Why, in one word of a closed list (docs/troubleshooting.md), for programs."
    )
    message: str = Field(
        max_length=2048, description="Why, in a sentence: the fact, then the next step. Empty when all is well."
    )
    last_transition_time: str = Field(
        json_schema_extra={"format": "date-time"}, description="When status last changed from one value to another."
    )
    observed_generation: int = Field(
        ge=0,
        description="metadata.generation of the spec that this is about; an older one says nothing about the present "
        "spec.",
    )
