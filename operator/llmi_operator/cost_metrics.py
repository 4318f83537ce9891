"""What resources cost, as metrics: of those that this replica has judged since it leads."""

from llmi_api.v1alpha1 import CostStatus
from llmi_operator.metrics import COST_PER_HOUR, COST_PER_MONTH, COST_UNKNOWN
from llmi_operator.status.cost import UNKNOWN
from llmi_operator.store import Key

_ALL = (COST_PER_HOUR, COST_PER_MONTH, COST_UNKNOWN)


def publish_cost(key: Key, cost: CostStatus | None) -> None:
    """Bring the metrics of one resource up to date; None takes them away."""
    place = {"namespace": key.namespace, "name": key.name}
    for metric in _ALL:
        metric.remove_by_labels(place)
    if cost is None:
        return
    if cost.per_hour == UNKNOWN or cost.currency is None:
        COST_UNKNOWN.labels(**place).set(1)
        return
    COST_PER_HOUR.labels(**place, currency=cost.currency).set(float(cost.per_hour))
    for replicas, amount in (("min", cost.per_month_at_min), ("max", cost.per_month_at_max)):
        if amount != UNKNOWN:
            COST_PER_MONTH.labels(**place, currency=cost.currency, replicas=replicas).set(float(amount))


def forget_costs() -> None:
    """Take all of them away: another replica tells them from now on."""
    for metric in _ALL:
        metric.clear()
