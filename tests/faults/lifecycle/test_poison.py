"""A resource that the operator cannot work on holds nobody up, and says so."""

import statistics
import time

import pytest

from llmi_testing.api import path
from llmi_testing.eventually import eventually
from llmi_testing.faulty_operator import POISON
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.passes import read_metric
from llmi_testing.resources import create_ready, find_condition, wait_for_reason, wait_until_ready

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/llminferences.llminference.dev"
MERGE = "application/merge-patch+json"
OTHERS = 10
LONGEST_RETRY_SECONDS = 60


class FaultyOperator(OperatorProcess):
    """The operator, but passes over the resource called poison raise."""

    module = "llmi_testing.faulty_operator"


def seconds_to_be_told(api, namespace, names):
    took = []
    for name in names:
        began = time.monotonic()
        api.create("llminferences", namespace, make_body(name))
        eventually(lambda name=name: api.need("llminferences", namespace, name)["status"].get("observedGeneration"))
        took.append(time.monotonic() - began)
    return took


def test_a_resource_whose_passes_raise_holds_nobody_up_and_says_so(api, namespace, account, tmp_path):
    with FaultyOperator(account, tmp_path / "faulty") as process:
        eventually(process.is_leader)
        before = seconds_to_be_told(api, namespace, [f"before{number}" for number in range(OTHERS)])
        api.create("llminferences", namespace, make_body(POISON))
        why = wait_for_reason(api, namespace, POISON, "OperatorFault")
        assert "(RuntimeError)" in why
        during = seconds_to_be_told(api, namespace, [f"during{number}" for number in range(OTHERS)])
        # Room for chance and for other work of this machine: what must not be is that others wait for it.
        assert statistics.median(during) <= 3 * statistics.median(before) + 3, (before, during)
        faults = read_metric(process, 'llmi_operator_passes_total{result="fault"')
        eventually(
            lambda: read_metric(process, 'llmi_operator_passes_total{result="fault"') > faults,
            "it is tried again", seconds=2 * LONGEST_RETRY_SECONDS,
        )  # fmt: skip
    with OperatorProcess(account, tmp_path / "mended") as process:
        eventually(process.is_leader)
        wait_until_ready(api, namespace, POISON)


LEFTOVERS = {
    "out-of-bounds": ({"replicas": 5000}, "replicas"),
    "two-sources": ({"model": {"id": "a/b", "claim": {"name": "c"}}}, "Set exactly one of"),
    "min-above-max": ({"autoscaling": {"minReplicas": 9, "maxReplicas": 1}}, "minReplicas"),
    # The API server itself cannot write the status of these: its schema has another type there.
    "text-for-object": ({"model": "bert"}, None),
    "number-for-object": ({"engine": {"env": [7]}}, None),
    "list-for-object": ({"limits": [[[[{}]]]]}, None),
}


@pytest.fixture
def older_type(api):
    """Admission as an older version of the type might have had it: it takes anything."""
    _, crd = api.ask("GET", CRD)
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [{**crd["spec"]["versions"][0], "schema": {"openAPIV3Schema": loose}}]

    def put(value):
        status, answer = api.ask("PATCH", CRD, {"spec": {"versions": value}}, MERGE)
        assert status == 200, answer

    put(versions)
    restored = []

    def restore():
        if not restored:
            restored.append(True)
            put(crd["spec"]["versions"])

    yield restore
    restore()


def test_what_an_older_type_let_in_is_told_and_holds_nobody_up(api, namespace, older_type, account, tmp_path):
    for name, (change, _) in LEFTOVERS.items():
        eventually(lambda name=name, change=change: is_let_in(api, namespace, name, change))
    older_type()
    with OperatorProcess(account, tmp_path / "log") as process:
        eventually(process.is_leader)
        create_ready(api, namespace, ["sound"])
        for name, (_, words) in LEFTOVERS.items():
            if words is not None:
                assert words in wait_for_reason(api, namespace, name, "InvalidSpec")
                assert find_condition(api.need("llminferences", namespace, name), "Stalled")["status"] == "True"
                api.patch("llminferences", namespace, name, {"metadata": {"labels": {"team": "search"}}})
            api.delete("llminferences", namespace, name)
            eventually(lambda name=name: api.get("llminferences", namespace, name) is None)
        assert read_metric(process, 'llmi_operator_passes_total{result="fault"') == 0


def is_let_in(api, namespace, name, change):
    whole = make_body(name)
    body = {**whole, "spec": {**whole["spec"], **change}}
    status, answer = api.ask("POST", path("llminferences", namespace), body)
    assert status == 201, answer.get("message")
    return True
