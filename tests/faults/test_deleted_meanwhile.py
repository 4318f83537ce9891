"""All children are deleted while no operator runs, and come back with the next one.

By itself in its module: an operator for the whole cluster, as others have one, would bring them back at once.
"""

import time

import pytest

from llmi_testing.end_state import is_settled
from llmi_testing.eventually import eventually
from llmi_testing.fault_proxy import FaultProxy
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
DOWN_SECONDS = 90.0
"""How long it may take on a machine that has other things to do; how long it took is reported."""
WHOLE = {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 4}}
"""With it every kind of child exists that the plan knows without files or claims."""


def uids(api, resource):
    return {key: body["metadata"]["uid"] for key, body in api.children(resource).items()}


def no_child_is_left(api, resource):
    left = uids(api, resource)
    assert not left, left
    return True


def test_all_children_deleted_while_the_operator_is_down_come_back_after_its_start(
    server, api, account, namespace, tmp_path, audit, record_property
):
    with FaultProxy(server) as proxy:
        settings = {"namespaces": namespace, "lease_name": namespace, "identity": namespace}
        with OperatorProcess(proxy.kubeconfig(account), tmp_path / "log", **settings) as process, audit.excused():
            api.create("llminferences", namespace, make_body(**WHOLE))
            eventually(lambda: is_settled(api, namespace, "bert"), seconds=40)
            resource = api.need("llminferences", namespace, "bert")
            before = uids(api, resource)
            process.kill()
            for kind, name in before:
                api.delete(kind, namespace, name)
            eventually(lambda: no_child_is_left(api, resource), seconds=120)
            began = time.monotonic()
            process.start()
            eventually(lambda: set(uids(api, resource)) == set(before), seconds=DOWN_SECONDS)
            eventually(lambda: is_settled(api, namespace, "bert"), seconds=DOWN_SECONDS)
            record_property("seconds", round(time.monotonic() - began, 1))
            assert not set(before.values()) & set(uids(api, resource).values())
