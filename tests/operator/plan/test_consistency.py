"""No field of the spec is accepted and ignored: for each there is the field of a child that follows from it."""

from pathlib import Path

import pytest

from llmi_operator.plan import Live, make_plan
from llmi_testing.consistency import ABSENT, ELSEWHERE, ROWS, find
from llmi_testing.fields import spec_leaves
from llmi_testing.inference import DEFAULTS, make_resource

ROOT = Path(__file__).parents[3]


def look(row, spec):
    plan = make_plan(make_resource(**spec), DEFAULTS, Live())
    child = next((child for child in plan.children if child["kind"] == row.kind), None)
    return ABSENT if child is None else find(child, row.place)


def test_every_field_of_the_spec_has_its_row():
    assert {row.leaf for row in ROWS} | set(ELSEWHERE) == set(spec_leaves())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.leaf} to {row.kind} {row.place.split('.')[-1]}")
def test_a_change_of_the_spec_is_a_change_of_the_child(row):
    assert look(row, {**row.base, **row.change}) == row.value
    assert look(row, row.base) != row.value


@pytest.mark.parametrize("leaf", ELSEWHERE)
def test_what_no_child_shows_has_a_test_of_its_own(leaf):
    path, name = ELSEWHERE[leaf]
    assert f"def {name}(" in (ROOT / path).read_text()
