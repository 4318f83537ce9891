"""Which files a pod is made with."""

import pytest

from llmi_operator.plan.model import identify_files
from llmi_operator.plan.pod import build_pod_template
from llmi_testing.inference import DEFAULTS, make_resource

IMAGE = {"image": {"reference": "registry.example.com/bert:1"}}


@pytest.mark.parametrize(
    ("model", "files"),
    [
        ({"id": "a/b"}, "a/b@main"),
        ({"id": "a/b", "revision": "v2"}, "a/b@v2"),
        ({"claim": {"name": "models"}}, "claim models"),
        ({"claim": {"name": "models", "path": "a/b"}}, "claim models/a/b"),
        (IMAGE, "registry.example.com/bert:1"),
    ],
)
def test_a_pod_names_the_files_that_it_was_made_with(model, files):
    assert identify_files(build_pod_template(make_resource(model=model), DEFAULTS)["spec"]) == files


@pytest.mark.parametrize("pod", [{}, {"initContainers": [{"name": "theirs"}], "volumes": [{"name": "tmp"}]}])
def test_somebody_elses_pod_names_none(pod):
    assert identify_files(pod) == ""
