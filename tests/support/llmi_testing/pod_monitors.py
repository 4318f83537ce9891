"""The type PodMonitor, as the Prometheus operator's own module has it."""

from typing import Any

from llmi_testing.module_files import read_module_file

_MODULE = "github.com/prometheus-operator/prometheus-operator"
_FILE = "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"


def read_pod_monitor_type() -> dict[str, Any]:
    """Read the CustomResourceDefinition."""
    return read_module_file("prometheus-operator", _MODULE, _FILE)
