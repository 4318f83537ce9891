"""The example policy in deploy/policy narrows what an LLMInference may name."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.space import Space

pytestmark = pytest.mark.apiserver
ROOT = Path(__file__).parents[2]
HUB = {"id": "google-bert/bert-large-uncased"}
OURS = {"image": {"reference": "registry.example.com/models/bert:1"}}
FOREIGN_IMAGE = {"engine": {"image": "docker.io/somebody/server:1"}}
REFUSED = [
    (FOREIGN_IMAGE, "images must come from registry.example.com/"),
    ({"engine": {"image": "registry.example.com.evil.org/server:1"}}, "images must come from"),
    ({"model": {"image": {"reference": "evil.org/model:1"}}}, "images must come from"),
    ({"model": {**HUB, "endpoint": "http://evil.org"}}, "spec.model.endpoint must be one of"),
    ({"model": {**HUB, "endpoint": "https://hub.example.com.evil.org"}}, "spec.model.endpoint must be one of"),
    ({"model": {"id": "google-bert-evil/bert"}}, "spec.model.id must begin with one of"),
    ({"model": {"id": "gpt2"}}, "spec.model.id must begin with one of"),
    ({"model": {**HUB, "tokenSecret": {"name": "database"}}}, "must begin with llminference-"),
    ({"access": {"apiKeySecret": {"name": "database"}}}, "must begin with llminference-"),
    ({"engine": {"imagePullSecrets": ["database"]}}, "must begin with llminference-"),
]


@pytest.fixture(scope="module")
def restricted(control_plane, tmp_path_factory):
    """A namespace with the policy; the others stay as they are."""
    name = "restricted"
    control_plane.kubectl("create", "namespace", name)
    space = Space(control_plane, name)
    space.apply(make_body("stored", **FOREIGN_IMAGE))
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    patch = [{"op": "add", "path": "/spec/matchResources", "value": here}]
    folder = tmp_path_factory.mktemp("policy")
    overlay = {
        "resources": [os.path.relpath(ROOT / "deploy" / "policy", folder)],
        "patches": [{"target": {"kind": "ValidatingAdmissionPolicyBinding"}, "patch": json.dumps(patch)}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(overlay))
    try:
        control_plane.kubectl("apply", "-k", str(folder))
        # It holds some moments after it was applied.
        eventually(lambda: "images must come from" in refusal(space, make_body(**FOREIGN_IMAGE)), seconds=60)
        yield space
    finally:
        control_plane.kubectl("delete", "-k", str(folder), "--ignore-not-found")
        control_plane.kubectl("delete", "namespace", name, "--wait=false")


def refusal(space, body):
    try:
        space.server.kubectl("-n", space.namespace, "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    except subprocess.CalledProcessError as error:
        return error.stderr
    return ""


@pytest.mark.parametrize(("spec", "says"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_the_lists_do_not_hold_is_refused_with_a_sentence(restricted, spec, says):
    assert says in refusal(restricted, make_body(**spec))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"model": OURS},
        {"engine": {"image": "registry.example.com/server@sha256:" + "0" * 64}},
        {"model": {**HUB, "endpoint": "https://hub.example.com"}},
        {"model": {**HUB, "tokenSecret": {"name": "llminference-hub"}}},
    ],
)
def test_what_the_lists_hold_is_taken(restricted, spec):
    assert refusal(restricted, make_body(**spec)) == ""


def test_what_was_stored_before_can_still_be_labelled_and_deleted_but_not_made_worse(restricted):
    restricted.kubectl("label", "llmi", "stored", "team=search")
    restricted.patch("llmi", "stored", {"status": {"why": "x"}}, "--subresource=status")
    with pytest.raises(AssertionError, match="images must come from"):
        restricted.patch("llmi", "stored", {"spec": {"task": "embeddings"}})
    restricted.patch("llmi", "stored", {"spec": {"engine": {"image": "registry.example.com/server:1"}}})
    restricted.delete("llmi", "stored")
    eventually(lambda: restricted.get("llmi", "stored") is None)
