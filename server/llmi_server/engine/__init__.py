"""What computes: a protocol for everyone, and the Transformers engine behind it."""
