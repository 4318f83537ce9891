"""The generator writes only what the API server understands, and stops at what it does not."""

import pytest
import yaml

from llmi_api.__main__ import to_yaml
from llmi_api.crd import SchemaError, build_crd, check_structural, structural_schema


def test_the_crd_is_deterministic():
    assert build_crd() == build_crd()


def test_the_yaml_says_the_same_as_the_dict():
    assert yaml.safe_load(to_yaml(build_crd())) == build_crd()


def test_an_optional_field_is_left_out_instead_of_null():
    schema = structural_schema(
        {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}}}
    )
    assert schema["properties"]["a"] == {"type": "string"}


def test_a_nested_object_defaults_to_an_empty_one_so_that_the_server_fills_it():
    spec = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["properties"]["service"]["default"] == {}
    assert spec["properties"]["service"]["properties"]["port"]["default"] == 80


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"description": "x"}, "no type"),
        ({"type": "string", "maxLength": 1}, "no description"),
        ({"type": "string", "description": "x"}, "no maxLength"),
        ({"type": "array", "description": "x", "items": {"type": "integer"}}, "maxItems"),
        ({"type": "object", "description": "x"}, "keeps nothing"),
        ({"type": "object", "description": "x", "additionalProperties": {"type": "string"}}, "maxProperties"),
        ({"type": "string", "description": "x", "$ref": "#/a"}, "no place"),
    ],
)
def test_a_schema_that_would_be_refused_or_unbounded_is_refused_here(schema, says):
    with pytest.raises(SchemaError, match=says):
        check_structural({"type": "object", "description": "spec", "properties": {"x": schema}}, ".spec")
