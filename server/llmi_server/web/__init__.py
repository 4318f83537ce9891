"""The HTTP edge: routes, middleware and the translation of errors. The only place that knows FastAPI."""
