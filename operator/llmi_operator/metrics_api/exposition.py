"""Prometheus' text → the number of requests in flight."""

from prometheus_client.parser import text_string_to_metric_families

from llmi_api.metric_names import RUNNING_METRIC, WAITING_METRIC

_NAMES = (RUNNING_METRIC, WAITING_METRIC)


def read_in_flight(text: str) -> int | None:
    """Add up what runs and what waits; None when the text does not tell both."""
    # The rest, tens of kilobytes of buckets, is not worth parsing.
    lines = [line for line in text.splitlines() if line.startswith(_NAMES)]
    try:
        found = {
            sample.name: sample.value
            for family in text_string_to_metric_families("\n".join([*lines, ""]))
            for sample in family.samples
        }
        return round(sum(found[name] for name in _NAMES))
    except (ValueError, OverflowError, KeyError):
        return None
