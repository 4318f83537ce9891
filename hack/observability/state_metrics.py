"""What kube-state-metrics is to tell of an LLMInference."""

from __future__ import annotations

from typing import Any

from llmi_api import labels
from observability.prometheus import MADE
from observability.yaml_text import write_yaml

PREFIX = "llminference"
NUMBERS = {
    "metadata_generation": (("metadata", "generation"), "Generation of the spec."),
    "status_observed_generation": (("status", "observedGeneration"), "Generation that the status is about."),
    "spec_replicas": (("spec", "replicas"), "Replicas that were asked for; absent with an autoscaler."),
    "spec_autoscaling_min_replicas": (("spec", "autoscaling", "minReplicas"), "Fewest replicas of the autoscaler."),
    "spec_autoscaling_max_replicas": (("spec", "autoscaling", "maxReplicas"), "Most replicas of the autoscaler."),
    "status_replicas": (("status", "replicas"), "Replicas that exist."),
    "status_ready_replicas": (("status", "readyReplicas"), "Replicas that answer."),
    "status_scaling_desired": (("status", "scaling", "desired"), "Replicas that the autoscaler wants."),
}


def describe_configuration() -> dict[str, Any]:
    """Give the configuration, CustomResourceState."""
    resource = {
        "groupVersionKind": {"group": labels.GROUP, "version": labels.VERSION, "kind": labels.KIND},
        "metricNamePrefix": PREFIX,
        "labelsFromPath": {"namespace": ["metadata", "namespace"], "llminference": ["metadata", "name"]},
        "metrics": [
            _info(),
            _conditions(),
            *(_number(name, path, what) for name, (path, what) in NUMBERS.items()),
        ],
    }
    return {"kind": "CustomResourceStateMetrics", "spec": {"resources": [resource]}}


def write_configuration() -> str:
    """The file for kube-state-metrics' --custom-resource-state-config-file."""
    return write_yaml(
        f"{MADE}\nFor kube-state-metrics: --custom-resource-state-config-file, and list and watch on llminferences.",
        describe_configuration(),
    )


def _info() -> dict[str, Any]:
    found = {"model": ["status", "model", "name"], "revision": ["status", "model", "revision"],
             "engine": ["status", "engine", "name"], "task": ["spec", "task"]}  # fmt: skip
    return {
        "name": "info",
        "help": "What is served.",
        "each": {"type": "Info", "info": {"labelsFromPath": found}},
    }


def _conditions() -> dict[str, Any]:
    gauge = {
        "path": ["status", "conditions"],
        "labelsFromPath": {"type": ["type"], "reason": ["reason"]},
        "valueFrom": ["status"],
    }
    return {
        "name": "status_condition",
        "help": "1 while a condition is True, else 0.",
        "each": {"type": "Gauge", "gauge": gauge},
    }


def _number(name: str, path: tuple[str, ...], what: str) -> dict[str, Any]:
    return {"name": name, "help": what, "each": {"type": "Gauge", "gauge": {"path": list(path), "nilIsZero": False}}}
