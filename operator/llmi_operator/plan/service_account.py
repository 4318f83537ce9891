"""The ServiceAccount of the pods, which may do nothing and has no token."""

from typing import Any

from llmi_operator.parse import Resource
from llmi_operator.plan.names import make_metadata


def build_service_account(resource: Resource) -> dict[str, Any]:
    """Build the account. Its pull secrets are left to others: who attaches some to it keeps them."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": make_metadata(resource),
        "automountServiceAccountToken": False,
    }
