"""What the chart holds beside its templates agrees with the rest; tests/apiserver/test_chart.py renders it."""

import json
import re
from pathlib import Path

import yaml

from llmi_operator.settings import OperatorSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "chart" / "llminference"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
# Other values decide these, or the manifests around them.
FROM_ELSEWHERE = {
    "namespaces",
    "server_image",
    "image_pull_policy",
    "lease_name",
    "lease_namespace",
    "identity",
    "health_host",
    "health_port",
    "prices_file",
    "user_agent",
}


def objects(schema, path="values"):
    """Walk the objects of the schema."""
    if schema.get("type") == "object":
        yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from objects(child, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from objects(schema["items"], f"{path}[]")


def test_the_copies_in_the_chart_are_up_to_date():
    for copy, original in {
        CHART / "files" / "llminferences.yaml": DEPLOY.parent / "crds" / "llminferences.yaml",
        CHART / "files" / "user-roles.yaml": DEPLOY / "crd" / "user-roles.yaml",
    }.items():
        assert copy.read_text() == original.read_text(), f"copy {original} to {copy}"


def test_every_setting_of_the_operator_is_a_value_and_no_other():
    names = {
        re.sub(r"_(.)", lambda m: m[1].upper(), name) for name in set(OperatorSettings.model_fields) - FROM_ELSEWHERE
    }
    assert set(SCHEMA["properties"]["settings"]["properties"]) == names, "write it into values.schema.json"


def test_the_schema_refuses_what_it_does_not_know():
    free = {"values.affinity", "values.global", "values.tolerations[]"}  # Kubernetes' own words, judged by it
    for path, schema in objects(SCHEMA):
        assert path in free or "additionalProperties" in schema, path
        assert schema.get("additionalProperties") is not True, path


def test_every_value_has_a_default_and_every_default_a_schema():
    assert set(VALUES) == set(SCHEMA["properties"]) - {"global"}
    for name in ("image", "serverImage", "crds", "clusterReader", "networkPolicy", "podDisruptionBudget", "tracing"):
        assert set(VALUES[name]) == set(SCHEMA["properties"][name]["properties"])


def test_version_and_application_are_those_of_the_project():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"$', (DEPLOY.parent / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert chart["version"] == chart["appVersion"] == version
