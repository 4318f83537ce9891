"""Prometheus' text → the number of requests in flight."""

from prometheus_client.parser import text_string_to_metric_families

from llmi_operator.plan.engines import ENGINES

_PAIRS = tuple((engine.metrics.running, engine.metrics.waiting) for engine in ENGINES.values() if engine.metrics)
_NAMES = tuple(name for pair in _PAIRS for name in pair)


def read_in_flight(text: str) -> int | None:
    """Add up what runs and what waits, whichever engine tells it; None when the text does not tell both."""
    # The rest, tens of kilobytes of buckets, is not worth parsing.
    lines = [line for line in text.splitlines() if line.startswith(_NAMES)]
    found: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families("\n".join([*lines, ""])):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
        return next((round(sum(found[name] for name in pair)) for pair in _PAIRS if found.keys() >= set(pair)), None)
    except (ValueError, OverflowError):
        return None
