"""The files that an engine reads at its start, in a ConfigMap of its own."""

from typing import Any

from llmi_operator.parse import Resource
from llmi_operator.plan.engines import find_engine
from llmi_operator.plan.engines.descriptor import FILES_DIR
from llmi_operator.plan.names import make_files_name, make_metadata

FILES_VOLUME = "engine-files"


def build_engine_files(resource: Resource) -> dict[str, Any] | None:
    """Build the ConfigMap; None where the engine reads no files of ours."""
    files = find_engine(resource).files(resource)
    if not files:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": make_metadata(resource, make_files_name(resource)),
        "data": dict(sorted(files.items())),
    }


def add_engine_files(pod: dict[str, Any], container: dict[str, Any], resource: Resource) -> None:
    """Mount the files, where there are any."""
    if not find_engine(resource).files(resource):
        return
    pod["volumes"].append({"name": FILES_VOLUME, "configMap": {"name": make_files_name(resource)}})
    container["volumeMounts"].append({"name": FILES_VOLUME, "mountPath": str(FILES_DIR), "readOnly": True})
