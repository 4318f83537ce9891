"""Metrics of the operator."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "llmi_operator_api_requests", "Requests to the API server.", ["verb", "kind", "status"], registry=REGISTRY
)
PASSES = Counter("llmi_operator_passes", "Passes over a resource, by result.", ["result"], registry=REGISTRY)
PASS_SECONDS = Histogram("llmi_operator_pass_seconds", "Duration of a pass.", registry=REGISTRY)
QUEUE_LENGTH = Gauge("llmi_operator_queue_length", "Resources waiting for a pass.", registry=REGISTRY)
STORED_OBJECTS = Gauge("llmi_operator_stored_objects", "Objects known, by kind.", ["kind"], registry=REGISTRY)
LEADER = Gauge("llmi_operator_leader", "1 on the replica that writes.", registry=REGISTRY)
RESYNC_TIME = Gauge(
    "llmi_operator_last_resync_timestamp_seconds", "When everything was last listed.", registry=REGISTRY
)
