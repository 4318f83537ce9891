"""What runs inside an engine's container, brought there by a ConfigMap: it may import nothing but Python's own."""
