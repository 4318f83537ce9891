"""Generated pages say what the code says."""

from pathlib import Path

import pytest
import yaml

import generate_docs
from llmi_operator.__main__ import Exit
from llmi_operator.settings import OperatorSettings
from llmi_server.settings import FetchSettings, ServeSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_setting_metric_and_exit_code_of_the_operator_is_told():
    page = generate_docs.write_operator_page()
    for name, field in OperatorSettings.model_fields.items():
        assert f"| `LLMI_OPERATOR_{name.upper()}` |" in page
        assert field.description in page
    assert "| `llmi_operator_api_requests_total` | counter | `verb`, `kind`, `status` |" in page
    for code in Exit:
        assert f"| `{int(code)}` | " in page


def test_every_setting_of_the_server_is_told_with_its_bounds():
    page = generate_docs.write_server_page()
    for kind in (ServeSettings, FetchSettings):
        for name in kind.model_fields:
            assert f"| `LLMI_{name.upper()}` |" in page
    assert "| `LLMI_PRECISION` | `auto` | `auto`, `float32`, `bfloat16`, `float16`, `int8` |" in page
    assert "| `LLMI_TIMEOUT_SECONDS` | `30` | above 0 |" in page
    assert "| `LLMI_MODEL_NAME` | *required* |" in page


def test_the_patch_for_argo_cd_carries_the_script_as_it_is():
    (script,) = yaml.safe_load(generate_docs.write_argocd_patch())["data"].values()
    assert script == Path("deploy/argocd/health.lua").read_text()


def test_every_example_has_a_line_that_ends_as_a_sentence():
    page = generate_docs.write_examples_index()
    for path in Path("examples").rglob("*.yaml"):
        (row,) = [line for line in page.splitlines() if f"]({path.relative_to('examples')})" in line]
        assert row.endswith(". |")


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [
        ("# One.\n# Two.\n", "One."),
        ("# It goes\n# on: to here. And more.\n", "It goes on: to here."),
        ("# Make a key:\n#   kubectl create\n", "Make a key."),
        ("", "The smallest: a model and a task."),
    ],
)
def test_the_first_sentence_of_a_comment_is_taken(tmp_path, comment, sentence):
    path = tmp_path / "a.yaml"
    path.write_text(comment + "apiVersion: v1\n")
    assert generate_docs._first_sentence(path) == sentence
