"""The schema for editors and for checks before a cluster, judged by kubeconform."""

from pathlib import Path

import pytest
import yaml

from llmi_testing.inference import make_body
from llmi_testing.judge import kubeconform

pytestmark = pytest.mark.apiserver
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))


def test_every_example_is_valid():
    bodies = {path.stem: yaml.safe_load(path.read_text()) for path in EXAMPLES}
    ours = {name: body for name, body in bodies.items() if body["kind"] == "LLMInference"}
    assert bodies.keys() - ours.keys() == {"list-prices"}
    found = kubeconform(*ours.values())
    assert [(name, item) for name, item in zip(ours, found, strict=True) if item.status != "Valid"] == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"replica": 2}, "replica"),
        ({"replicas": "two"}, "/spec/replicas"),
        ({"replicas": -1}, "/spec/replicas"),
        ({"task": "fill-masks"}, "/spec/task"),
        ({"task": None}, "task"),
        ({"service": {"port": 0}}, "/spec/service/port"),
        ({"engine": {"env": [{"name": "1"}]}}, "/spec/engine/env/0/name"),
        ({"resources": {"limits": {"cpu": [1]}}}, "/spec/resources/limits/cpu"),
    ],
)
def test_a_wrong_field_is_named(spec, says):
    (found,) = kubeconform(make_body(**spec))
    assert found.status == "Invalid"
    assert says in found.message
