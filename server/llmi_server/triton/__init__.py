"""Triton as the engine: its Python back end on our models, and the process that watches over both."""
