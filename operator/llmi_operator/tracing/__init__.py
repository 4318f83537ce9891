"""Traces of passes. Only `export` knows OpenTelemetry, and it is imported only when traces are asked for."""
