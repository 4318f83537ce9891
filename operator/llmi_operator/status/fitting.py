"""Whether a model that is still being downloaded will fit into its memory limit, by what its files' headers told."""

from decimal import Decimal

from llmi_api.launch import Precision, Task
from llmi_api.readiness import ReadinessReport
from llmi_operator.parse import Resource
from llmi_operator.plan.quantity import parse_quantity
from llmi_operator.plan.resources import build_resources
from llmi_operator.settings import ServerDefaults

_MEBIBYTE = 2**20


def warn_of_memory(report: ReadinessReport, resource: Resource, defaults: ServerDefaults) -> str:
    """Say what will be missing, and what to do; empty where it fits, is not known, or a device has the memory."""
    spec, predicted = resource.spec, report.predicted_by_precision
    precision = _choose_precision(spec.engine.precision, spec.task)
    needed = predicted.get(precision)
    amounts = build_resources(spec.resources, defaults, downloads=False, accelerator=None)
    limit = parse_quantity(amounts["limits"]["memory"])
    if spec.accelerator is not None or needed is None or limit is None or needed <= limit:
        return ""
    smaller = next((name for name, size in predicted.items() if size <= limit and name != Precision.FLOAT16), None)
    instead = f", or set spec.engine.precision to {smaller} ({_write(predicted[smaller])})" if smaller else ""
    return (
        f"It will not fit: it needs about {_write(needed)} in {precision} and the memory limit is {_write(limit)}. "
        f"Raise spec.resources.limits.memory{instead}."
    )


def _choose_precision(wanted: Precision, task: Task) -> Precision:
    """What auto comes to on a processor, the smaller one where that depends on it."""
    if wanted is not Precision.AUTO:
        return wanted
    return Precision.FLOAT32 if task is Task.TEXT_GENERATION else Precision.BFLOAT16


def _write(amount: int | Decimal) -> str:
    return f"{amount // _MEBIBYTE:.0f} MiB"
