"""Every example is a valid resource, says nothing that is ignored, and the smallest one stays small."""

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from llmi_api import labels
from llmi_api.v1alpha1 import LLMInference

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_resource_without_unknown_fields(path):
    manifest = yaml.safe_load(path.read_text())
    assert manifest["apiVersion"] == labels.API_VERSION
    assert manifest["kind"] == labels.KIND
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    LLMInference.model_validate({"spec": manifest["spec"]}, extra="forbid")


def test_the_smallest_example_has_eight_lines():
    lines = (EXAMPLES[0].parent / "bert-large-uncased.yaml").read_text().splitlines()
    assert len(lines) == 8


def test_every_field_of_the_spec_is_in_an_example():
    used = set()
    for path in EXAMPLES:
        used |= set(_paths(yaml.safe_load(path.read_text())["spec"]))
    missing = sorted(set(_fields(LLMInference.model_fields["spec"].annotation)) - used)
    # These two have no use in an example of their own: they repeat what the tolerations above them show.
    rare = {"scheduling.tolerations.operator", "scheduling.tolerations.tolerationSeconds", "replicas"}
    assert set(missing) <= rare | {"access.apiKeySecret.key", "model.image.path"}


def _paths(node, prefix=""):
    if isinstance(node, list):
        for child in node:
            yield from _paths(child, prefix)
    elif isinstance(node, dict):
        for name, child in node.items():
            yield prefix + name
            yield from _paths(child, prefix + name + ".")


def _fields(model, prefix=""):
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        yield path
        for choice in [field.annotation, *getattr(field.annotation, "__args__", ())]:
            for inner in [choice, *getattr(choice, "__args__", ())]:
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    yield from _fields(inner, path + ".")
