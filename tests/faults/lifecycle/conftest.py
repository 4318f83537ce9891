"""An API server for the tests of this folder alone: they take rights, types and room away from the operator."""

import itertools

import pytest

from llmi_testing.api import Api
from llmi_testing.control_plane import installed_control_plane, make_account
from llmi_testing.eventually import eventually
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.pretend_node import PretendNode

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    with installed_control_plane(audit=False) as server:
        yield server


@pytest.fixture(scope="session")
def account(server):
    return make_account(server)


@pytest.fixture(scope="session")
def api(server):
    """The administrator's view, for tests."""
    api = Api(server)
    yield api
    api.close()


@pytest.fixture(scope="session", autouse=True)
def kubelet(server):
    """Pods that fit the node become ready."""
    with PretendNode(Api(server)) as kubelet:
        yield kubelet


@pytest.fixture(scope="session")
def audit():
    """None here: what an auditor forbids, such as a resource that is not worked on, is what some tests arrange."""


@pytest.fixture
def operator(account, tmp_path):
    """An operator for each test: some tests run others, and only one can lead."""
    with OperatorProcess(account, tmp_path / "operator.log") as process:
        eventually(process.is_leader)
        yield process


@pytest.fixture
def namespace(api):
    """A fresh namespace."""
    name = f"life-{next(_numbers)}"
    api.create("namespaces", "", {"metadata": {"name": name}})
    yield name
    api.delete("namespaces", "", name)
