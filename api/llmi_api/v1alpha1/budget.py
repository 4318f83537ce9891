"""What an LLMInference may cost."""

from pydantic import Field

from llmi_api.meta import Model, Quantity


class Budget(Model):
    """A bound on what the replicas cost. It never takes the last replica away."""

    per_hour: Quantity = Field(
        description='Most that all replicas together may cost an hour, such as "2.50", in the currency of the '
        "operator's list of prices. Where more would cost more, fewer replicas run than asked for, each reckoned at "
        "the dearest node that it may use; status says so, with the arithmetic. Without a price nothing is held back, "
        "and status says that.",
    )
