"""A control plane with everything of deploy/ on it but the running operator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from llmi_testing.apiserver import ROOT, ApiServer

SYSTEM = "llminference-system"
OPERATOR = "llminference-operator"


@contextlib.contextmanager
def installed_control_plane(
    *, audit: bool = True, autoscaler: bool = False, scheduler: bool = False
) -> Iterator[ApiServer]:
    """API server and controllers, no nodes; CRD, roles and the operator's account."""
    with ApiServer(controllers=True, audit=audit, autoscaler=autoscaler, scheduler=scheduler) as server:
        server.kubectl("apply", "-k", str(ROOT / "deploy"))
        server.kubectl("-n", SYSTEM, "delete", "deployment", "--all", "--wait=false")
        server.wait_until_types_are_served()
        yield server


def make_account(server: ApiServer) -> Path:
    """Kubeconfig of the service account that deploy/ gives the operator, with its rights and no more."""
    return server.kubeconfig_for_service_account(OPERATOR, SYSTEM)
