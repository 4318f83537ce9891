"""The type PodMonitor, as the Prometheus operator's own module has it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

import gobuild

MODULE = "github.com/prometheus-operator/prometheus-operator"
_FOLDER = gobuild.TOOLS_DIR / "prometheus-operator"
_FILE = "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"


def read_pod_monitor_type() -> dict[str, Any]:
    """Read the CustomResourceDefinition; the module is fetched once and checked against go.sum."""
    argv = [gobuild.find_go(), "mod", "download", "-json", MODULE]
    environment = {**os.environ, "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(argv, cwd=_FOLDER, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    body: dict[str, Any] = yaml.safe_load((Path(json.loads(done.stdout)["Dir"]) / _FILE).read_text())
    return body
