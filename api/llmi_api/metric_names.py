"""Names of metrics that more than one of our programs knows."""

RUNNING_METRIC = "llmi_requests_running"
"""Requests that a replica's engine has begun."""
WAITING_METRIC = "llmi_requests_waiting"
"""Requests that wait for the engine."""
IN_FLIGHT_METRIC = "llmi_requests_in_flight"
"""Both together, at a replica and in the custom metrics API: autoscalers ask for one metric."""
