"""One API server for all tests here, an auditor beside it, and a proxy that does wrong on request before it."""

import itertools

import pytest

from llmi_testing.api import Api
from llmi_testing.auditing import Audit
from llmi_testing.control_plane import OPERATOR, SYSTEM, installed_control_plane, make_account
from llmi_testing.eventually import eventually
from llmi_testing.fault_proxy import FaultProxy
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.pretend_kubelet import PretendKubelet

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    with installed_control_plane(audit=False) as server:
        yield server


@pytest.fixture(scope="session")
def account(server):
    """The operator's own account; beyond its rights it may use leases of other names: many operators run here."""
    words = ["-n", SYSTEM, "create"]
    server.kubectl(*words, "role", "test-leases", "--resource=leases", "--verb=get,create,update")
    server.kubectl(*words, "rolebinding", "test-leases", "--role=test-leases", f"--serviceaccount={SYSTEM}:{OPERATOR}")
    return make_account(server)


@pytest.fixture(scope="session")
def api(server):
    """The administrator's view, for tests."""
    api = Api(server)
    yield api
    api.close()


@pytest.fixture(scope="session", autouse=True)
def kubelet(server):
    """Every pod becomes ready."""
    with PretendKubelet(Api(server)) as kubelet:
        yield kubelet


@pytest.fixture(scope="session", autouse=True)
def audit(server, tmp_path_factory):
    """Watches over all tests; what it finds fails the run at its end."""
    with Audit(server.kubeconfig, tmp_path_factory.mktemp("audit")) as audit:
        yield audit
        findings = audit.findings()
        assert not findings, "\n".join(map(str, findings))


@pytest.fixture(scope="module")
def proxy(server):
    with FaultProxy(server) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_faults(request):
    """Faults end with their test."""
    yield
    if "proxy" in request.fixturenames:
        request.getfixturevalue("proxy").stop()


@pytest.fixture(scope="module")
def operator(proxy, account, tmp_path_factory):
    """An operator behind the proxy, for the whole cluster."""
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(proxy.kubeconfig(account), log) as process:
        eventually(process.is_leader)
        yield process


@pytest.fixture
def namespace(server, api):
    """A fresh namespace."""
    name = f"fault-{next(_numbers)}"
    api.create("namespaces", "", {"metadata": {"name": name}})
    yield name
    api.delete("namespaces", "", name)
