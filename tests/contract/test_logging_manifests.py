"""What ships and stores logs agrees with what is logged; tests/telemetry runs pipeline and template for real."""

import json
import re
from pathlib import Path

import pytest
import yaml

from llmi_api import labels
from llmi_api.ecs import OWN_NAMESPACE
from llmi_testing.log_lines import CONTAINERD

LOGGING = Path(__file__).parents[2] / "deploy" / "observability" / "logging"
SETUP = LOGGING / "setup"
FLUENT_BIT = yaml.safe_load((LOGGING / "fluent-bit" / "fluent-bit.yaml").read_text())
FLUENTD = (LOGGING / "fluentd" / "fluent.conf").read_text()
TEMPLATE = json.loads((SETUP / "template.json").read_text())
STREAM = "logs-llminference-default"


def variables(path):
    """The names that a daemon set gives its container."""
    (container,) = yaml.safe_load(path.read_text())["spec"]["template"]["spec"]["containers"]
    return {one["name"] for one in container["env"]}


def test_both_shippers_write_into_the_stream_that_the_template_is_for():
    (output,) = FLUENT_BIT["pipeline"]["outputs"]
    assert (output["index"], output["write_operation"]) == (STREAM, "create")
    assert f"index_name {STREAM}\n" in FLUENTD
    assert "write_operation create\n" in FLUENTD
    assert [re.fullmatch(pattern.replace("*", ".*"), STREAM) for pattern in TEMPLATE["index_patterns"]] != [None]
    assert "data_stream" in TEMPLATE


def test_setup_puts_everything_under_the_names_that_the_template_uses():
    script = (SETUP / "setup.sh").read_text()
    index = TEMPLATE["template"]["settings"]["index"]
    assert f"/_ingest/pipeline/{index['default_pipeline']}" in script
    assert f"/_ilm/policy/{index['lifecycle']['name']}" in script
    (files,) = yaml.safe_load((SETUP / "kustomization.yaml").read_text())["configMapGenerator"]
    assert set(files["files"]) == {path.name for path in SETUP.iterdir()} - {"kustomization.yaml", "job.yaml"}
    for name in set(files["files"]) - {"setup.sh"}:
        assert f"@{name}" in script


def test_both_shippers_keep_what_carries_our_label():
    (rule,) = [one["regex"] for one in FLUENT_BIT["pipeline"]["filters"] if one["name"] == "grep"]
    assert rule == f"$kubernetes['labels']['{labels.PART_OF_LABEL}'] ^{labels.SINGULAR}$"
    assert f"key $['kubernetes']['labels']['{labels.PART_OF_LABEL}']\n    pattern /^{labels.SINGULAR}$/" in FLUENTD


@pytest.mark.parametrize("shipper", ["fluent-bit", "fluentd"])
def test_every_variable_of_a_configuration_is_set_and_every_other_is_known(shipper):
    folder = LOGGING / shipper
    text = next(path for path in folder.iterdir() if path.name in {"fluent-bit.yaml", "fluent.conf"}).read_text()
    used = set(re.findall(r"\$\{(\w+)\}", text)) | set(re.findall(r"ENV\['(\w+)'\](?! \|\|)", text))
    assert used <= variables(folder / "daemon-set.yaml")


def test_fluentd_takes_containerds_lines_apart():
    expression = re.search(r"expression /(.*)/\n", FLUENTD)[1].replace("(?<", "(?P<")
    found = re.match(expression, CONTAINERD.format(line='{"a": 1}'))
    assert found.groupdict() == {
        "time": "2026-11-26T03:00:00.123456789Z",
        "stream": "stderr",
        "logtag": "F",
        "log": '{"a": 1}',
    }


def test_the_pipeline_knows_the_label_and_the_namespace_of_our_facts():
    script = (SETUP / "pipeline.yaml").read_text()
    assert f"labels['{labels.OWNER_LABEL}']" in script
    assert f"ctx.{OWN_NAMESPACE}.inference = owner" in script


def test_the_saved_search_uses_fields_that_are_mapped():
    view, search = map(json.loads, (SETUP / "kibana.ndjson").read_text().splitlines())
    assert view["attributes"]["title"] in TEMPLATE["index_patterns"]
    assert search["references"][0]["id"] == view["id"]
    assert set(search["attributes"]["columns"]) <= set(TEMPLATE["template"]["mappings"]["properties"])
    query = json.loads(search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]
    assert query.startswith("log.level: ")
