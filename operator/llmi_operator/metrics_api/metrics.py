"""Metrics of the adapter about itself."""

from prometheus_client import CollectorRegistry, Gauge

REGISTRY = CollectorRegistry()
CERTIFICATE_EXPIRY = Gauge(
    "llmi_metrics_adapter_certificate_expiry_timestamp_seconds",
    "When the certificate ends by which the API server knows the adapter.",
    registry=REGISTRY,
)
