"""What is made of an LLMInference, one folder a case: ``make golden`` rewrites the expected manifests."""

from pathlib import Path

import pytest
import yaml

from llmi_operator.plan import Live, make_plan
from llmi_testing.fields import spec_leaves, used_leaves
from llmi_testing.inference import DEFAULTS, make_resource

CASES = sorted(path.parent for path in (Path(__file__).parents[1] / "golden").glob("*/input.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_is_as_expected(case, golden_update):
    body = yaml.safe_load((case / "input.yaml").read_text())
    plan = make_plan(make_resource(body["metadata"]["name"], **body["spec"]), DEFAULTS, Live())
    made = yaml.safe_dump_all(plan.children, sort_keys=False)
    expected = case / "expected.yaml"
    if golden_update:
        expected.write_text(made)
    assert made == expected.read_text()


def test_every_field_of_the_spec_is_in_a_case():
    inputs = [yaml.safe_load((case / "input.yaml").read_text())["spec"] for case in CASES]
    used = {leaf for spec in inputs for leaf in used_leaves(spec)}
    assert set(spec_leaves()) <= used
