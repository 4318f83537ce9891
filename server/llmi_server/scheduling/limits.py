"""How much may wait and how much is computed at once."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Budgets of the scheduler.

    Attributes:
        max_queued_requests: Most requests that wait; more are refused at the door.
        max_queued_tokens: Most tokens that wait; a lone request may have more.
        max_batch_tokens: Most tokens in one batch, with the padding that the engine adds.
        preferred_batch_tokens: Where larger batches stop being faster on this device.
        max_batch_items: Most texts in one batch.
        padding_free: Whether the engine computes each text at its own length; then tokens are counted without padding.
    """

    max_queued_requests: int
    max_batch_tokens: int
    max_queued_tokens: int
    preferred_batch_tokens: int
    max_batch_items: int = 512
    padding_free: bool = False

    @property
    def batch_tokens(self) -> int:
        """The budget that batches are filled up to, in tokens."""
        return min(self.max_batch_tokens, self.preferred_batch_tokens)
