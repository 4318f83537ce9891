"""What an older, looser type let in can still be lived with under the present one: told, labelled, mended, deleted."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.manifests import MODEL, manifest, spec
from llmi_testing.space import Space

pytestmark = pytest.mark.apiserver
CRD = yaml.safe_load((Path(__file__).parents[2] / "crds" / "llminferences.yaml").read_text())
# Each breaks a rule of its own kind: a pattern, a bound, a rule of the spec, of a part, of an item.
OLD = {
    "pattern": spec(model={"id": "an id with spaces"}),
    "bound": spec(limits={"maxQueuedRequests": 0}),
    "rule": spec(replicas=1, autoscaling={"maxReplicas": 2}),
    "nested": spec(model={**MODEL, "cache": {"claim": "c", "size": "1Gi"}}),
    "variable": spec(engine={"env": [{"name": "LD_PRELOAD", "value": "x"}]}),
}


def loosen(schema):
    """The same structure without rules, patterns and bounds."""
    if isinstance(schema, list):
        return [loosen(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {"x-kubernetes-validations", "pattern", "minimum", "maximum", "minLength", "enum", "minItems"}
    return {
        key: {name: loosen(inner) for name, inner in value.items()} if key == "properties" else loosen(value)
        for key, value in schema.items()
        if key not in strict
    }


@pytest.fixture(scope="module")
def upgraded():
    """A namespace with resources from the time of a looser type, which has since been replaced by ours."""
    older = copy.deepcopy(CRD)
    for version in older["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"] = loosen(version["schema"]["openAPIV3Schema"])
    with ApiServer() as server:
        space = Space(server, "default")
        server.kubectl("create", "-f", "-", stdin=json.dumps(older))
        server.wait_until_types_are_served()
        for name, body in OLD.items():
            eventually(lambda name=name, body=body: space.apply(manifest(body, name)) or space.get("llmi", name))
        server.kubectl("replace", "-f", "-", stdin=json.dumps(CRD))
        probe = manifest(OLD["rule"], "probe")
        eventually(lambda: refuses(space, probe), "the present type is in force")
        yield space


def refuses(space, body):
    try:
        space.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", OLD)
def test_its_status_can_be_written(upgraded, name):
    upgraded.patch("llmi", name, {"status": {"why": "It breaks a rule."}}, "--subresource=status")
    assert upgraded.status(name)["why"] == "It breaks a rule."


@pytest.mark.parametrize("name", OLD)
def test_it_can_be_labelled(upgraded, name):
    upgraded.kubectl("label", "llmi", name, "team=search")
    assert upgraded.need("llmi", name)["metadata"]["labels"]["team"] == "search"


@pytest.mark.parametrize("name", OLD)
def test_it_can_be_mended(upgraded, name):
    mended = {"spec": {"model": {"id": "a/b", "cache": None}, "limits": None, "autoscaling": None, "engine": None}}
    upgraded.patch("llmi", name, mended)


@pytest.mark.parametrize("name", OLD)
def test_it_can_be_deleted(upgraded, name):
    upgraded.delete("llmi", name)
    eventually(lambda: upgraded.get("llmi", name) is None)
