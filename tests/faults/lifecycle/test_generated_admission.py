"""What is generated meets a real API server: it takes what the operator makes, and the operator what it takes."""

import json

import pytest

from llmi_operator.kinds import BY_NAME
from llmi_operator.parse import parse_resource
from llmi_operator.plan import Live, make_plan
from llmi_testing.api import path
from llmi_testing.examples import for_all_specs
from llmi_testing.inference import DEFAULTS, make_body, make_stored_body
from llmi_testing.specs import mutate

pytestmark = pytest.mark.faults
COUNTS = [100, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
STRICT = "?dryRun=All&fieldValidation=Strict&fieldManager=test&force=true"
APPLY = "application/apply-patch+yaml"


@pytest.mark.parametrize("count", COUNTS)
def test_the_api_server_takes_every_child(api, namespace, count):
    def holds(spec, _):
        body = make_stored_body()
        body["metadata"]["namespace"] = namespace
        for child in make_plan(parse_resource({**body, "spec": spec}), DEFAULTS, Live()).children:
            kind = BY_NAME[child["kind"]]
            status, answer = api.ask("PATCH", kind.path(namespace, child["metadata"]["name"]) + STRICT, child, APPLY)
            unserved = kind.optional and status == 404
            assert unserved or status in {200, 201}, f"{child['kind']}: {answer.get('message')}"

    for_all_specs(holds, count)


@pytest.mark.parametrize("count", COUNTS)
def test_the_api_server_takes_every_generated_spec(api, namespace, count):
    def holds(spec, _):
        status, answer = propose(api, namespace, spec)
        assert status == 201, answer.get("message")

    for_all_specs(holds, count)


@pytest.mark.parametrize("count", COUNTS)
def test_what_the_api_server_takes_is_parsed_and_planned(api, namespace, count):
    taken = 0

    def holds(spec, random):
        nonlocal taken
        status, answer = propose(api, namespace, mutate(spec, random))
        assert status in {201, 400, 422}, answer
        if status == 201:
            taken += 1
            stored = {**answer, "metadata": {**answer["metadata"], "uid": "1", "generation": 1}}
            assert make_plan(parse_resource(stored), DEFAULTS, Live()).children

    for_all_specs(holds, 3 * count)
    assert taken > count / 2, "too few were taken to say anything"


def propose(api, namespace, spec):
    """Create a resource, except that nothing is stored."""
    text = json.dumps({**make_body(), "spec": spec})
    return api.ask("POST", path("llminferences", namespace) + "?dryRun=All", json.loads(text))
