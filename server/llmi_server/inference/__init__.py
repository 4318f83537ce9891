"""Between HTTP and the engine: requests in, answers out, on the right threads."""
