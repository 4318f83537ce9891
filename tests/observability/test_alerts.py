"""Every alert by promtool: silent in a healthy world, firing while its fault lasts, and over after it."""

import subprocess

import pytest
import yaml

import monitoring
from llmi_testing.alert_cases import BEGIN, CASES, END, HEALTHY, MINUTES, says
from observability.alerts import ALERTS
from observability.prometheus import write_rule_file

pytestmark = pytest.mark.observability


def write_series(series):
    def text(values):
        return " ".join("_" if value is None else f"{value:g}" for value in values)

    return [{"series": name, "values": text(values)} for name, values in series.items()]


def firing(name, minute, *expected):
    labels = {"alertname": name, "alertstate": "firing", "severity": severity(name)}
    query = f'ALERTS{{alertstate="firing"{f",alertname={chr(34)}{name}{chr(34)}" if name else ""}}}'
    samples = [{"labels": f"ALERTS{braced(labels | one)}", "value": 1} for one in expected]
    return {"expr": query, "eval_time": f"{minute}m", "exp_samples": samples}


def braced(labels):
    return "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def severity(name):
    return next((str(alert.severity) for alert in ALERTS if alert.name == name), "")


def promtool(folder, series, expectations):
    (folder / "rules.yaml").write_text(write_rule_file())
    test = {"interval": "1m", "input_series": write_series(series), "promql_expr_test": expectations}
    body = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(body))
    argv = [monitoring.find().promtool, "test", "rules", "test.yaml"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_every_alert_has_a_case():
    assert set(CASES) == {alert.name for alert in ALERTS}


def test_four_hours_of_healthy_load_fire_nothing(tmp_path):
    promtool(tmp_path, HEALTHY, [firing("", minute) for minute in range(0, MINUTES, 5)])


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_with_its_fault_and_not_before_and_is_over_after_it(name, tmp_path):
    case = CASES[name]
    expectations = [
        firing(name, BEGIN - 1),
        firing(name, BEGIN + case.before),
        firing(name, BEGIN + case.after, case.labels),
        firing(name, END + case.gone),
    ]
    if case.before == 0:
        expectations.pop(1)
    promtool(tmp_path, HEALTHY | case.fault, expectations)


def test_what_does_not_fit_is_an_emergency_only_where_nothing_answers(tmp_path):
    minute, model = BEGIN + 8, {"namespace": "models", "llminference": "bert"}
    for available, expected in ((0, [model]), (1, [])):
        said = says("OutOfMemory", Ready=0, Available=available, Degraded=1, Stalled=1)
        expectations = [
            firing("LLMInferenceOutOfMemory", minute, *expected),
            firing("LLMInferenceRolloutStuck", minute, model),
        ]
        promtool(tmp_path, HEALTHY | said, expectations)
