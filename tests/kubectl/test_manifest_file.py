import pytest

from llmi_kubectl.errors import Exit, PluginError
from llmi_kubectl.manifest_file import choose_namespace, read_manifests

GOOD = """\
apiVersion: llminference.dev/v1alpha1
kind: LLMInference
metadata: {name: bert}
spec: {task: fill-mask}
"""


def test_every_inference_of_a_file_is_read_and_other_kinds_are_passed_over():
    text = f"{GOOD}---\n---\nkind: Secret\n---\nkind: List\nitems:\n- " + GOOD.replace("\n", "\n  ").strip()
    assert [item["metadata"]["name"] for item in read_manifests(text, "f")] == ["bert", "bert"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "f holds no LLMInference"),
        ("kind: Secret", "f holds no LLMInference"),
        ("a: [", "f is not YAML"),
        (GOOD.replace("v1alpha1", "v9"), "f: apiVersion is llminference.dev/v9"),
        (GOOD.replace("name: bert", ""), "has no metadata.name"),
        (GOOD.replace("{task: fill-mask}", "fill-mask"), "spec of bert is not a mapping"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(text, sentence):
    with pytest.raises(PluginError, match=sentence) as caught:
        read_manifests(text, "f")
    assert caught.value.exit_status is Exit.BAD_USAGE


def test_the_namespace_is_the_files_then_the_one_asked_for_then_the_contexts():
    there, nowhere = {"metadata": {"name": "a", "namespace": "x"}}, {"metadata": {"name": "a"}}
    assert choose_namespace(there, None, "z") == "x"
    assert choose_namespace(nowhere, "y", "z") == "y"
    assert choose_namespace(nowhere, None, "z") == "z"
    with pytest.raises(PluginError, match="leave one out"):
        choose_namespace(there, "y", "z")
