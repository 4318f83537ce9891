"""The type PodMonitor, as the Prometheus operator's own module has it."""

from typing import Any

from gobuild import PROMETHEUS_OPERATOR_MODULE
from llmi_testing.module_files import read_module_file

_FILE = "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"


def read_pod_monitor_type() -> dict[str, Any]:
    """Read the CustomResourceDefinition."""
    return read_module_file("prometheus-operator", PROMETHEUS_OPERATOR_MODULE, _FILE)
