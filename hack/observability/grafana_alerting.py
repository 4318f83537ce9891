"""The alerts for Grafana's own alerting, as its provisioning reads them."""

from __future__ import annotations

import hashlib
from typing import Any

from observability import alerts
from observability.prometheus import MADE
from observability.rule import Alert
from observability.yaml_text import write_yaml

DATASOURCE = "prometheus"
"""The uid of the Prometheus that Grafana asks; kube-prometheus-stack gives it this one."""
_WINDOW_SECONDS = 600


def describe_rule(alert: Alert) -> dict[str, Any]:
    """Give one alert: its query, and a threshold that every result of the query passes."""
    query = {"refId": "query", "expr": alert.query, "instant": True, "range": False}
    found = {"refId": "found", "type": "math", "expression": "is_number($query) || is_nan($query) || is_inf($query)"}
    fires = {
        "refId": "fires",
        "type": "threshold",
        "expression": "found",
        "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
    }
    return {
        "uid": hashlib.sha256(alert.name.encode()).hexdigest()[:20],
        "title": alert.name,
        "condition": "fires",
        "for": alert.lasting,
        # A healthy query finds nothing.
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": alert.severity.value},
        "annotations": {
            "summary": _in_grafana(alert.summary),
            "description": _in_grafana(alert.description),
            "runbook": alert.page,
        },
        "data": [_step(query, DATASOURCE), _step(found, "__expr__"), _step(fires, "__expr__")],
    }


def write_alerting() -> str:
    """The file for Grafana's provisioning folder ``alerting``."""
    groups = [
        {
            "orgId": 1,
            "name": group.name,
            "folder": "LLMInference",
            "interval": "1m",
            "rules": [describe_rule(rule) for rule in group.rules if isinstance(rule, Alert)],
        }
        for group in alerts.GROUPS
    ]
    head = f"{MADE}\nGrafana's own alerting, from the rules of Prometheus: needs their recording rules there."
    return write_yaml(head, {"apiVersion": 1, "groups": groups})


def _step(model: dict[str, Any], source: str) -> dict[str, Any]:
    return {
        "refId": model["refId"],
        "datasourceUid": source,
        "relativeTimeRange": {"from": _WINDOW_SECONDS, "to": 0},
        "model": model,
    }


def _in_grafana(text: str) -> str:
    """Say the value of the query: Grafana's own $value is a text about every step."""
    return text.replace("$value", "$values.query.Value")
