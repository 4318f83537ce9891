"""How much may wait and how much is computed at once."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Budgets of the scheduler.

    Attributes:
        max_queued_requests: Most requests that wait; more are refused at the door.
        max_batch_tokens: Most tokens in one batch, padding included.
        preferred_batch_tokens: Where larger batches stop being faster on this device.
        max_batch_items: Most texts in one batch.
    """

    max_queued_requests: int
    max_batch_tokens: int
    preferred_batch_tokens: int
    max_batch_items: int = 512

    @property
    def batch_tokens(self) -> int:
        """The budget that batches are filled up to, in tokens with padding."""
        return min(self.max_batch_tokens, self.preferred_batch_tokens)
