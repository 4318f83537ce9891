"""Encoders of our own on a GPU: packed batches, and recordings of the many small kernels of small ones."""
