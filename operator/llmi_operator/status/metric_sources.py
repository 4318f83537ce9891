"""Which program measures what an autoscaler goes by, and what to do where none does."""

from llmi_api.launch import HTTP_PORT
from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_api.v1alpha1.scaling import Autoscaling
from llmi_operator.metric_sources import CUSTOM, EXTERNAL, RESOURCE, MetricSource, MetricSources
from llmi_operator.status.finding import quote_words

GRANT = "the role in deploy/cluster-reader lets the operator name it"
METRICS_ADAPTER_STEP = "install a custom metrics API, such as ours (kubectl apply -k deploy/metrics-adapter)"
METRICS_SERVER_STEP = "install metrics-server"


def describe_sources(autoscaling: Autoscaling, sources: MetricSources | None) -> str:
    """Name the program for each target: ``CPU: metrics-server in kube-system``."""
    targets = autoscaling.targets
    parts = []
    if targets.in_flight_per_replica is not None:
        parts.append(f"requests in flight: {_name_keda(sources) if autoscaling.uses_keda else _name(sources, CUSTOM)}")
    measured = {"CPU": targets.cpu_percent, "memory": targets.memory_percent}
    resources = " and ".join(word for word, target in measured.items() if target is not None)
    if resources:
        parts.append(f"{resources}: {_name(sources, RESOURCE)}")
    return "; ".join(parts)


def advise_on_in_flight(sources: MetricSources | None) -> str:
    """What to do where requests in flight are not told."""
    source = (sources or {}).get(CUSTOM)
    if source is None:
        return METRICS_ADAPTER_STEP
    if source.fault:
        return _see_to(source, CUSTOM)
    if source.is_ours:
        return (
            f"{source.words} answers, and has no numbers of these replicas: see its log (kubectl -n {source.namespace} "
            f"logs deploy/{source.name})"
        )
    return (
        f"{source.words} serves {CUSTOM} and does not know {IN_FLIGHT_METRIC}: give it the rule of docs/scaling.md, or "
        "remove it and install ours (kubectl apply -k deploy/metrics-adapter)"
    )


def advise_on_keda(name: str, sources: MetricSources | None) -> str:
    """What to do where KEDA does not tell requests in flight."""
    source = (sources or {}).get(EXTERNAL)
    if source is not None and source.fault:
        return _see_to(source, EXTERNAL)
    return (
        f"see kubectl describe scaledobject {name}, and let KEDA's operator reach the replicas at port {HTTP_PORT} "
        "(spec.access.allowFrom, unless it is in the namespace keda)"
    )


def advise_on_resources(sources: MetricSources | None) -> str:
    """What to do where CPU or memory is not told."""
    source = (sources or {}).get(RESOURCE)
    if source is None:
        return METRICS_SERVER_STEP
    if source.fault:
        return _see_to(source, RESOURCE)
    return f"{source.words} answers, and has no numbers of these replicas: see its log"


def _see_to(source: MetricSource, group: str) -> str:
    words = quote_words(source.fault, 200)
    return f"see to {source.words}, which is registered for {group} and does not answer ({words})"


def _name_keda(sources: MetricSources | None) -> str:
    source = (sources or {}).get(EXTERNAL)
    if source is None:
        return "KEDA, which asks the replicas"
    fault = ", which does not answer" if source.fault else ", which asks the replicas"
    return f"KEDA ({source.words}){fault}"


def _name(sources: MetricSources | None, group: str) -> str:
    if sources is None:
        return f"whatever serves {group} ({GRANT})"
    source = sources.get(group)
    if source is None:
        return f"nobody serves {group}"
    words = f"our adapter ({source.words})" if source.is_ours else source.words
    return f"{words}, which does not answer" if source.fault else words
