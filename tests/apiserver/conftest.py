"""One API server for all tests here, with the operator's own manifests applied; a namespace for each test."""

import itertools

import pytest

from llmi_testing.auditing import Audit
from llmi_testing.control_plane import installed_control_plane
from llmi_testing.eventually import eventually
from llmi_testing.json_lines import read_json_lines
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.space import Space

ACCOUNT = "system:serviceaccount:llminference-system:llminference-operator"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane():
    """A control plane without nodes, and everything of deploy/ but the running operator."""
    with installed_control_plane() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def audit(control_plane, tmp_path_factory):
    """Watches over all tests; what it finds fails the run at its end.

    Endpoints it must leave out: without a node there are none, whatever a test writes into a pod's status.
    """
    with Audit(control_plane.kubeconfig, tmp_path_factory.mktemp("audit")) as audit:
        yield
        findings = [one for one in audit.findings() if one["rule"] != "lie"]
        assert not findings, "\n".join(map(str, findings))


@pytest.fixture(scope="session")
def account(control_plane):
    """Kubeconfig of the service account that deploy/ gives the operator, with its rights and no more."""
    make = control_plane.kubeconfig_for_service_account
    return make("llminference-operator", "llminference-system")


@pytest.fixture(scope="module")
def operator(account, tmp_path_factory):
    """The operator, cluster-wide, under its own service account."""
    with OperatorProcess(account, tmp_path_factory.mktemp("operator") / "log") as process:
        eventually(process.is_leader)
        yield process


@pytest.fixture
def space(control_plane):
    """A fresh namespace."""
    name = f"test-{next(_numbers)}"
    control_plane.kubectl("create", "namespace", name)
    yield Space(control_plane, name)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def written(control_plane):
    """A function that lists what the operator has written in a namespace, leases and events left out."""

    def look(namespace):
        found = []
        for entry in read_json_lines(control_plane.audit_log):
            place = entry.get("objectRef", {})
            if entry["user"]["username"] != ACCOUNT or place.get("namespace") != namespace:
                continue
            if entry["verb"] in {"create", "update", "patch", "delete"} and place["resource"] not in {
                "leases",
                "events",
            }:
                found.append((entry["verb"], place["resource"], place.get("subresource", "")))
        return found

    return look
