"""The example policy covers every field that names a Secret, an image or an address."""

import re
from pathlib import Path

from llmi_api.crd import build_crd

POLICY = (Path(__file__).parents[2] / "deploy" / "policy" / "restrict.yaml").read_text()
SENSITIVE = re.compile(r"secret|^image$|^reference$|endpoint", re.IGNORECASE)


def names(schema):
    for name, child in schema.get("properties", {}).items():
        yield name, child
        yield from names(child)


def test_no_field_that_names_a_secret_an_image_or_an_address_escapes_the_policy():
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    sensitive = {name for name, child in names(schema) if SENSITIVE.search(name)}
    assert sensitive >= {"tokenSecret", "apiKeySecret", "endpoint", "reference"}
    assert not {name for name in sensitive if name not in POLICY}
