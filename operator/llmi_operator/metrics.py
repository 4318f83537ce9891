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
PRICES_VALID = Gauge(
    "llmi_operator_price_list_valid", "1 while the list of prices can be used, 0 while not.", registry=REGISTRY
)
COST_PER_HOUR = Gauge(
    "llmi_operator_cost_per_hour",
    "What the replicas of a resource cost an hour; absent while that is unknown.",
    ["namespace", "name", "currency"],
    registry=REGISTRY,
)
COST_PER_MONTH = Gauge(
    "llmi_operator_cost_per_month",
    "What the fewest (min) and the most (max) replicas of a resource cost a month of 730 hours.",
    ["namespace", "name", "currency", "replicas"],
    registry=REGISTRY,
)
COST_UNKNOWN = Gauge(
    "llmi_operator_cost_unknown",
    "1 for a resource whose cost is unknown although there is a list of prices.",
    ["namespace", "name"],
    registry=REGISTRY,
)
RESYNC_TIME = Gauge(
    "llmi_operator_last_resync_timestamp_seconds", "When everything was last listed.", registry=REGISTRY
)
