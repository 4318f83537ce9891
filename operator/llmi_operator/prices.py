"""What nodes and accelerators cost an hour: a list that belongs to whoever runs the cluster, read as data."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

MOST_BYTES = 2**18
Price = Annotated[Decimal, Field(gt=0, le=100_000, allow_inf_nan=False)]
_Name = Annotated[str, Field(min_length=1, max_length=317)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class HourlyPrice(_Model):
    """What one of something costs an hour; a price that is absent is unknown."""

    per_hour: Price | None = None
    spot_per_hour: Price | None = None

    def choose(self, *, spot: bool) -> Decimal | None:
        """The price of a spot node, or of one that stays."""
        return self.spot_per_hour if spot else self.per_hour


class PriceList(_Model):
    """All prices that are known.

    Attributes:
        source: Where they are from and of which day, in words.
        nodes: By the label node.kubernetes.io/instance-type.
        accelerators: By product or by resource name, for nodes whose type is not in the list.
    """

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    source: Annotated[str, Field(min_length=1, max_length=200)]
    nodes: Annotated[Mapping[_Name, HourlyPrice], Field(max_length=5000)] = Field(default_factory=dict)
    accelerators: Annotated[Mapping[_Name, HourlyPrice], Field(max_length=1000)] = Field(default_factory=dict)


class PriceListError(Exception):
    """The list cannot be used; the text says where and why."""


def parse_prices(text: str) -> PriceList:
    """Read a list of prices.

    Raises:
        PriceListError: It is none.
    """
    if len(text) > MOST_BYTES:
        raise PriceListError(f"the list of prices has {len(text)} characters, and {MOST_BYTES} are the most")
    try:
        data: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PriceListError(f"the list of prices is not YAML: {' '.join(str(error).split())[:200]}") from error
    try:
        return PriceList.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise PriceListError(f"the list of prices is wrong at {where}: {first['msg']}") from error
