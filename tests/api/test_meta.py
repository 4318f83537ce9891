"""Manifests come out as the API server stores them."""

from llmi_api.v1alpha1 import LLMInference
from llmi_testing.manifests import SMALLEST


def test_a_manifest_is_camel_case_and_leaves_out_what_is_absent():
    manifest = LLMInference.model_validate({"spec": SMALLEST}).to_manifest()
    assert manifest["spec"]["limits"]["maxQueuedRequests"] == 256
    assert "replicas" not in manifest["spec"]
    assert "status" not in manifest


def test_a_key_of_a_newer_version_is_ignored():
    assert LLMInference.model_validate({"spec": {**SMALLEST, "future": 1}}).spec.task == "fill-mask"
