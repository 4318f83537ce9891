"""A program of its own: the custom metrics API, by which autoscalers learn how many requests a replica has in flight.

``python -m llmi_operator.metrics_api``. The API server passes requests for ``custom.metrics.k8s.io`` on to it; it asks
the pods' own ``/metrics`` and keeps nothing. It shares no right and no process with the operator.
"""
