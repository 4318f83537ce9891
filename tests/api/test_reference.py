"""The reference holds every field and every rule of the resource, and its links lead somewhere."""

import re

import pytest

from llmi_api.crd import build_crd
from llmi_api.meta import CEL
from llmi_api.reference import write_reference
from llmi_api.v1alpha1 import ConditionType

ROOT = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


@pytest.fixture(scope="module")
def text():
    return write_reference()


def nodes(schema, path):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def sections(text):
    found = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_every_field_stands_in_the_section_of_its_object(text):
    parts = sections(text)
    for path, schema in [*nodes(ROOT["spec"], "spec"), *nodes(ROOT["status"], "status")]:
        for name, child in schema.get("properties", {}).items():
            (row,) = [line for line in parts[path].splitlines() if line.startswith(f"| `{name}` |")]
            assert child["description"] in row


def test_every_rule_is_told_and_those_about_changes_are_marked(text):
    for path, schema in nodes(ROOT["spec"], "spec"):
        for rule in schema.get(CEL, ()):
            assert rule["message"] in text, path
            assert (f"*on change:* {rule['message']}" in text) == ("oldSelf" in rule["rule"])


def test_every_link_leads_to_a_heading(text):
    headings = {re.sub(r"[^-_a-z0-9]", "", heading.lower()) for heading in sections(text)}
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert links
    assert links <= headings


def test_every_condition_has_a_meaning(text):
    for kind in ConditionType:
        assert re.search(rf"^\| `{kind}` \| \w.+ \|$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "row",
    [
        "| `port` | integer | `80` | 1 to 65535 |",
        "| `model` | [object](#specmodel) | *required* |  |",
        '| `value` | string | `""` | at most 4096 characters |',
        "| `imagePullSecrets` | list of string |  | at most 8 entries; each 1 to 253 characters; a DNS name |",
    ],
)
def test_a_row_says_type_default_and_bounds(text, row):
    assert row in text
