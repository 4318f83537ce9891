"""Alerts by what a real operator and a real kube-state-metrics tell of faults, and their end.

Prometheus and Alertmanager are real too. No kubelet runs here: pods say what the test lets them say. Durations of the
rules are divided by `HASTE`.
"""

import os
import re
from dataclasses import dataclass
from functools import partial

import pytest

import monitoring
from llmi_testing.apiserver import ROOT
from llmi_testing.control_plane import installed_control_plane, make_account
from llmi_testing.eventually import eventually
from llmi_testing.governed_models import NAMESPACE, SAYS, SPECS, GovernedModels
from llmi_testing.monitoring_stack import (
    Stack,
    StandIn,
    Target,
    hasten,
    model_target,
    operator_target,
    running_stack,
    state_metrics_target,
)
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.state_metrics import StateMetrics, running_state_metrics
from observability.alerts import ALERTS
from observability.board import STATE
from observability.dashboards import BOARDS
from observability.panel import Graph
from observability.prometheus import GROUPS, write_rule_file
from observability.rule import Source
from observability.state_metrics import NUMBERS
from problems import MissingTool

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]
HASTE, ROOM = 100, 120
RESYNC_SECONDS, BEHIND_SECONDS = 600 // HASTE, 1800 // HASTE
BINDING = "llminference-operator"
BY_MODEL = [
    ("LLMInferenceNotReady", "unschedulable"),
    ("LLMInferenceScaledToMax", "busy"),
    ("LLMInferenceScalingBlind", "blind"),
    ("LLMInferenceCrashLoop", "crashing"),
    ("LLMInferenceCrashLoop", "restarting"),
    ("LLMInferenceOutOfMemory", "hungry"),
    ("LLMInferenceStartSlow", "loading"),
    ("LLMInferenceRolloutStuck", "stuck"),
    ("LLMInferenceTokenRefused", "gated"),
]
QUERIES = [rule.query for group in GROUPS for rule in group.rules] + [
    query
    for board in BOARDS
    for row in board.rows
    for panel in row.panels
    for query in ([line.query for line in panel.lines] if isinstance(panel, Graph) else [panel.query])
]
PANELS = [panel for board in BOARDS for row in board.rows for panel in row.panels if panel.stand_in == STATE]


@dataclass
class World:
    """What runs, and what watches it."""

    models: GovernedModels
    operator: OperatorProcess
    state: StateMetrics
    stack: Stack


def hastened_rules():
    """The shipped rules; the only threshold that is a time by the operator's own clock is divided too."""
    rules, limit = hasten(write_rule_file(), HASTE), "== 1) > 1800"
    assert rules.count(limit) == 1
    return rules.replace(limit, f"== 1) > {BEHIND_SECONDS}")


@pytest.fixture(scope="module")
def programs():
    """Prometheus and Alertmanager; a CI that lacks them must not be green."""
    try:
        return monitoring.find()
    except MissingTool as absent:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(absent))


@pytest.fixture(scope="module")
def server(programs):
    with installed_control_plane(audit=False) as server:
        yield server


@pytest.fixture(scope="module")
def watched(server, tmp_path_factory):
    """A model for each fault, all of them well as yet but one whose rollout took too long."""
    folder, models = tmp_path_factory.mktemp("alerts"), GovernedModels(server)
    account = make_account(server)
    with OperatorProcess(account, folder / "first.log") as first:
        eventually(first.is_leader, "the operator leads", seconds=ROOM)
        models.apply()
    models.let_a_rollout_expire()
    replica = StandIn({"llmi_model_ready": 1}, lambda _: True)
    with (
        OperatorProcess(account, folder / "operator.log", resync_seconds=str(RESYNC_SECONDS)) as operator,
        running_state_metrics(server, folder) as state,
    ):
        models.begin()
        pods = [replica_target(name, models.pod_of(name), replica.port) for name in ("restarting", "hungry")]
        jobs = {
            "llminference": pods,
            "llminference-operator": [operator_target(operator.port)],
            "kube-state-metrics": [state_metrics_target(state.port)],
        }
        with running_stack(folder, jobs, rules=hastened_rules(), scrape_seconds=1) as stack:
            known = 'count_over_time(kube_pod_container_status_restarts_total{namespace="models"}[1m]) >= 3'
            eventually(lambda: stack.query(known), "Prometheus has seen the pods for a while", seconds=ROOM)
            yield World(models, operator, state, stack)
    replica.close()
    models.close()


def replica_target(name, pod, port):
    """A replica that Prometheus asks; its numbers are of no interest here, only that it is known by its pod's name."""
    return Target(name, port, {**model_target(name, port).labels, "pod_name": pod})


@pytest.fixture(scope="module")
def broken(watched):
    """Every model has its fault, and the operator says so."""
    watched.models.break_all()
    return watched


@pytest.fixture(scope="module")
def refused(broken, server):
    """The operator has lost its rights in the midst of it."""
    server.kubectl("delete", "clusterrolebinding", BINDING)
    return broken


@pytest.fixture(scope="module")
def mended(refused, server):
    """Every fault is over, that of the operator first."""
    server.kubectl("apply", "-k", str(ROOT / "deploy" / "cluster-wide"))
    refused.operator.kill()  # where the test that does so was not asked for
    refused.operator.start()
    eventually(refused.operator.is_ready, "the operator is back", seconds=ROOM)
    refused.models.mend_all()
    return refused


def fires(world, name, **labels):
    """Wait until the receiver is told, with the numbers filled in."""
    first = eventually(lambda: world.stack.receiver.of(name, "firing", **labels), f"{name} fires", seconds=ROOM)[0]
    texts = first["annotations"]
    assert "{{" not in "".join(texts.values())
    assert "<no value>" not in "".join(texts.values())
    assert texts["runbook"] == f"docs/alerts.md#{name.lower()}"
    return first


def resolves(world, name, **labels):
    eventually(lambda: world.stack.receiver.of(name, "resolved", **labels), f"{name} resolves", seconds=ROOM)


def test_every_alert_of_the_state_and_of_the_operator_has_its_fault_here():
    here = {name for name, _ in BY_MODEL} | {f"LLMInferenceOperator{word}" for word in ("Down", "Errors", "Behind")}
    by_source = {one.name for one in ALERTS if one.source in {Source.STATE, Source.OPERATOR}}
    assert here == by_source | {"LLMInferenceStartSlow"}


def test_every_metric_that_rules_and_dashboards_read_of_kube_state_metrics_is_told(broken):
    read = set(re.findall(r"(?<![\w:])(?:kube|llminference)_\w+", "\n".join(QUERIES)))
    assert {"llminference_status_condition", "kube_pod_container_status_restarts_total"} <= read

    def all_are_told():
        assert read - broken.state.series().keys() == set()
        return True

    eventually(all_are_told, seconds=ROOM)


def test_conditions_are_told_with_type_and_reason_as_the_operator_wrote_them(broken):
    written = {
        (item["metadata"]["name"], one["type"], one["reason"]): float(one["status"] == "True")
        for item in broken.models.space.list("llmi")
        for one in item["status"]["conditions"]
    }
    assert len(written) == 5 * len(SPECS)

    def told():
        found = broken.state.series()["llminference_status_condition"]
        assert {labels["namespace"] for labels, _ in found} == {NAMESPACE}
        return {(one["llminference"], one["type"], one["reason"]): value for one, value in found} == written

    eventually(told, "kube-state-metrics has seen the last change", seconds=ROOM)
    assert {(name, "Ready", reason) for name, reason in SAYS.items()} <= written.keys()


def test_numbers_are_those_of_the_resource_and_absent_where_it_has_none(broken):
    for name in ("well", "busy"):
        body = broken.models.space.need("llmi", name)
        for metric, (path, _) in NUMBERS.items():
            value = body
            for key in path:
                value = value.get(key) if value else None
            labels = {"namespace": NAMESPACE, "llminference": name}
            told = partial(broken.state.value, f"llminference_{metric}", **labels)
            eventually(lambda: told() == value, f"{metric} of {name} is {value}")  # noqa: B023 - called at once


def test_info_names_what_is_served(broken):
    well = {"llminference": "well", "task": "fill-mask", "engine": "transformers"}
    eventually(lambda: broken.state.value("llminference_info", **well) == 1)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_that_reads_it_has_an_answer(panel, broken):
    queries = [line.query for line in panel.lines] if isinstance(panel, Graph) else [panel.query]
    for query in queries:
        chosen = query.replace("$namespace", NAMESPACE).replace("$llminference", "busy")
        eventually(lambda: broken.stack.query(chosen), chosen)  # noqa: B023 - called at once


@pytest.mark.parametrize(("name", "model"), BY_MODEL)
def test_the_receiver_is_told_of_a_model_whose_fault_the_operator_saw(name, model, broken):
    fires(broken, name, namespace=NAMESPACE, llminference=model)


def test_the_receiver_is_told_of_an_operator_whose_passes_fail(refused):
    edits = iter(range(10_000))

    def told():
        refused.models.edit_all(next(edits))
        return refused.stack.receiver.of("LLMInferenceOperatorErrors", "firing")

    eventually(told, "the operator's failing passes fire", seconds=ROOM)
    fires(refused, "LLMInferenceOperatorErrors")


def test_the_receiver_is_told_of_an_operator_that_cannot_list(refused):
    fires(refused, "LLMInferenceOperatorBehind")


def test_the_receiver_is_told_of_an_operator_that_is_gone(refused):
    refused.operator.kill()
    fires(refused, "LLMInferenceOperatorDown")


@pytest.mark.parametrize(("name", "model"), BY_MODEL)
def test_the_receiver_is_told_that_the_fault_of_a_model_is_over(name, model, mended):
    resolves(mended, name, namespace=NAMESPACE, llminference=model)


@pytest.mark.parametrize("word", ["Down", "Errors", "Behind"])
def test_the_receiver_is_told_that_the_operator_is_well_again(word, mended):
    resolves(mended, f"LLMInferenceOperator{word}")


def test_the_model_that_was_well_all_the_time_fired_nothing(mended):
    assert [one for one in mended.stack.receiver.alerts if one["labels"].get("llminference") == "well"] == []
