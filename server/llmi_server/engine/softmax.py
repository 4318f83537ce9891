"""Logits to shares, as tasks answer them and as drift is measured. No torch here."""

import numpy as np

from llmi_server.engine.protocol import Output


def softmax(logits: Output) -> Output:
    """Return shares along the last axis that sum to 1; the largest logit is taken off first, so nothing overflows."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Output = raised / raised.sum(axis=-1, keepdims=True)
    return shares
