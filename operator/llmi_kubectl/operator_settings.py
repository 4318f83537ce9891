"""The operator's own settings, read from its Deployment: what a replica gets by default follows from them."""

from collections.abc import Iterable, Mapping
from typing import Any

from llmi_operator.errors import SettingsError
from llmi_operator.settings import PREFIX, OperatorSettings, ServerDefaults

OPERATOR_LABELS = "app.kubernetes.io/name=llminference-operator"


def find_defaults(deployments: Iterable[Mapping[str, Any]], namespace: str) -> ServerDefaults | None:
    """The defaults of the operator that serves a namespace; None when no Deployment is of one that does."""
    for body in deployments:
        environment = _read_environment(body)
        try:
            settings = OperatorSettings.from_environment(environment)
        except SettingsError:
            # Of another version than ours.
            continue
        if not settings.namespaces or namespace in settings.namespaces:
            return settings.server_defaults
    return None


def _read_environment(deployment: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for container in deployment["spec"]["template"]["spec"].get("containers") or ():
        for variable in container.get("env") or ():
            field = ((variable.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath", "")
            value = variable.get("value")
            if field == "metadata.namespace":
                value = deployment["metadata"]["namespace"]
            if value is not None and variable["name"].startswith(PREFIX):
                found[variable["name"]] = value
    return found
