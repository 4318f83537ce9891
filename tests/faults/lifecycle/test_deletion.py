"""What is deleted goes, whether the operator runs or not, and nothing of it holds a namespace up."""

import itertools

import pytest

from llmi_testing.api import CHILD_KINDS
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.resources import create_ready, wait_until_ready

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
RESOURCES = 50
GONE_SECONDS = 120
NAME = "bert"
_numbers = itertools.count(1)


@pytest.fixture
def doomed(api):
    """A namespace that its test deletes."""
    name = f"doomed-{next(_numbers)}"
    api.create("namespaces", "", {"metadata": {"name": name}})
    yield name
    api.delete("namespaces", "", name)


def owners(body):
    return [item["uid"] for item in body["metadata"].get("ownerReferences", ()) if item.get("controller")]


def children_called(api, namespace, name):
    return [body for kind in CHILD_KINDS for body in api.list(kind, namespace) if body["metadata"]["name"] == name]


@pytest.mark.parametrize("running", [True, False], ids=["the operator runs", "the operator is down"])
def test_a_namespace_with_fifty_resources_goes(api, account, doomed, tmp_path, running):
    names = [f"r{number}" for number in range(RESOURCES)]
    with OperatorProcess(account, tmp_path / "log") as process:
        eventually(process.is_leader)
        create_ready(api, doomed, names)
        bodies = [api.need("llminferences", doomed, name) for name in names]
        for body in [*bodies, *(child for name in names for child in children_called(api, doomed, name))]:
            assert "finalizers" not in body["metadata"]
        if not running:
            process.stop()
        api.delete("namespaces", "", doomed)
        eventually(lambda: api.get("namespaces", "", doomed) is None, "the namespace is gone", seconds=GONE_SECONDS)


def test_what_is_recreated_within_a_second_gets_children_of_its_own(api, operator, namespace):
    for _ in range(5):
        create_ready(api, namespace, [NAME])
        before = api.need("llminferences", namespace, NAME)["metadata"]["uid"]
        api.delete("llminferences", namespace, NAME)
        after = api.create("llminferences", namespace, make_body(NAME))["metadata"]["uid"]
        assert before != after

        def belong_to_the_new_one(uid=after):
            found = [owners(body) for body in children_called(api, namespace, NAME) if owners(body)]
            return len(found) >= 2 and all(uids == [uid] for uids in found)

        eventually(belong_to_the_new_one, "the children belong to the new resource", seconds=60)
        wait_until_ready(api, namespace, NAME)
        api.delete("llminferences", namespace, NAME)
        eventually(lambda: not api.get("deployments", namespace, NAME), seconds=60)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_deleting_takes_the_children_along(api, operator, namespace, propagation):
    create_ready(api, namespace, [NAME])
    api.delete("llminferences", namespace, NAME, propagation)
    eventually(lambda: api.get("llminferences", namespace, NAME) is None, seconds=60)
    if propagation == "Foreground":  # the owner goes last
        assert not [body for body in children_called(api, namespace, NAME) if owners(body)]
    eventually(lambda: not api.get("deployments", namespace, NAME), seconds=60)
    eventually(lambda: not api.list("pods", namespace), seconds=60)


def test_orphans_stay_as_they_are(api, operator, namespace):
    create_ready(api, namespace, [NAME])
    before = api.need("deployments", namespace, NAME)
    api.delete("llminferences", namespace, NAME, "Orphan")
    eventually(lambda: api.get("llminferences", namespace, NAME) is None, seconds=60)
    after = api.need("deployments", namespace, NAME)
    assert after["spec"] == before["spec"]
    assert not owners(after)
    pods = api.list("pods", namespace)
    assert [pod["metadata"].get("deletionTimestamp") for pod in pods] == [None]
    # And a resource of the same name takes them over, without a new pod.
    create_ready(api, namespace, [NAME])
    assert [pod["metadata"]["uid"] for pod in api.list("pods", namespace)] == [pod["metadata"]["uid"] for pod in pods]
    assert owners(api.need("deployments", namespace, NAME))
