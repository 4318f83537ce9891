"""What deploy/observability brings, on a real cluster: discovery, cAdvisor, kube-state-metrics, cost, an alert, advice.

Prometheus asks and thinks every 3 s here, and waits less for an alert; all else is as it is shipped.
"""

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

import deploy
import kind_cluster
import monitoring_images
from llmi_testing.live_cluster import eventually
from llmi_testing.plugin import Plugin
from mode import Mode

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
NAMESPACE = "llminference-monitoring"
PROXY = f"/api/v1/namespaces/{NAMESPACE}/services/llminference-prometheus:http/proxy/api/v1"
OPERATOR_IMAGE = "{.spec.template.spec.containers[0].image}"
AMPLE = {"requests": {"cpu": "500m", "memory": "1200Mi"}, "limits": {"memory": "1500Mi"}}
ROUNDED = 2e-6  # a replica says seconds in millionths
MASK = {"inputs": "The capital of France is [MASK]."}
OF_THE_MODEL = (
    "llminference:replicas_answering:sum",
    "llminference:requests:rate5m > 0",
    "llminference:input_tokens:rate5m > 0",
    "llminference:request_seconds:p95 > 0",
    "llminference:cpu_cores:sum > 0",
    "llminference:memory_bytes:max > 50e6",
    "llminference:cost_per_hour:sum > 0",
    "llminference:cost_per_million_tokens:ratio > 0",
    'llminference_status_condition{type="Ready"} == 1',
    "llminference_status_ready_replicas == 1",
)


class Prometheus:
    """The one on the cluster, asked through the API server."""

    def __init__(self, kubectl):
        self._kubectl = kubectl

    def ask(self, path):
        return json.loads(self._kubectl("get", "--raw", f"{PROXY}/{path}"))["data"]

    def query(self, query):
        return self.ask(f"query?query={quote(query, safe='')}")["result"]

    def reaches(self, series, amount):
        """The largest sample of these series, once it is no less but for rounding."""
        (sample,) = self.query(f"max by (llminference) ({series})")
        value = float(sample["value"][1])
        return value if value > amount - ROUNDED else None

    def healthy_targets(self):
        """How many targets of each job answer, provided that all do but one that cannot."""
        found = {}
        for one in self.ask("targets?state=active")["activeTargets"]:
            job = one["labels"]["job"]
            if one["labels"].get("llminference") == "crashing":
                continue
            assert one["health"] == "up", f"{job} {one['scrapeUrl']}: {one['health']} {one['lastError']}"
            found[job] = found.get(job, 0) + 1
        return found

    def firing(self, **labels):
        alerts = [one for one in self.ask("alerts")["alerts"] if one["state"] == "firing"]
        return [one for one in alerts if labels.items() <= one["labels"].items()]


def hasten(manifests):
    """Let Prometheus ask and evaluate sooner, and alerts wait less: the shipped text in all else."""
    text, changed = re.subn(r"(scrape|evaluation)_interval: 15s", r"\1_interval: 3s", manifests)
    assert changed == 2
    return re.sub(r"( for: )\d+m\b", r"\g<1>5s", text)


@pytest.fixture(scope="module")
def prometheus(kubectl):
    """Prometheus and kube-state-metrics as the docs say, on a cluster that has neither."""
    if kind_cluster.mode_of(kind_cluster.nodes()) is Mode.BUILD:
        monitoring_images.make_and_load()
    kubectl("apply", "-k", str(FOLDER / "kube-state-metrics-standalone"))
    rendered = kubectl("kustomize", str(FOLDER / "prometheus"))
    kubectl("apply", "-f", "-", stdin=hasten(rendered))
    kubectl("-n", deploy.NAMESPACE, "rollout", "status", "deployment/kube-state-metrics", "--timeout=180s")
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/llminference-prometheus", "--timeout=180s")
    yield Prometheus(kubectl)
    kubectl("delete", "-k", str(FOLDER / "prometheus"), "--wait=false")
    kubectl("delete", "-k", str(FOLDER / "kube-state-metrics-standalone"), "--wait=false")


@pytest.fixture(scope="module")
def crashing(shared):
    """A model whose program ends at once: the image is the operator's own, which knows no command serve."""
    image = shared.kubectl("-n", deploy.NAMESPACE, "get", deploy.OPERATOR, "-o", f"jsonpath={OPERATOR_IMAGE}")
    shared.apply("crashing", engine={"image": image})
    return {"namespace": shared.namespace, "llminference": "crashing"}


@pytest.fixture(scope="module")
def seen(shared):
    """A model that serves, with more of everything than it needs."""
    shared.apply("seen", replicas=1, resources=AMPLE)
    shared.wait_ready("seen")
    return f'namespace="{shared.namespace}",llminference="seen"'


def test_every_target_is_found_and_answers_and_every_number_of_a_model_under_load_is_there(
    prometheus, crashing, shared, seen, priced
):
    with shared.load(f"http://seen.{shared.namespace}.svc/", rate=5, body=MASK):
        found = eventually(lambda: targets(prometheus), "every target answers")
        assert found["cadvisor"] == len(kind_cluster.nodes())
        for query in OF_THE_MODEL:
            name, space, limit = query.partition(" ")
            chosen = name.replace("{", f"{{{seen},") if "{" in name else f"{name}{{{seen}}}"
            eventually(lambda: prometheus.query(f"{chosen}{space}{limit}"), f"{chosen}{space}{limit}")  # noqa: B023


def test_an_alert_comes_with_its_fault_and_goes_with_it(prometheus, crashing, shared):
    names = ("LLMInferenceCrashLoop", "LLMInferenceNotReady")
    for name in names:
        (alert,) = eventually(lambda: prometheus.firing(alertname=name, **crashing), f"{name} fires")  # noqa: B023
        assert shared.namespace in alert["annotations"]["summary"]
    shared.patch("crashing", engine=None)
    shared.wait_ready("crashing")
    for name in names:
        eventually(lambda: not prometheus.firing(alertname=name, **crashing), f"{name} is over")  # noqa: B023


def test_what_a_minute_of_load_has_used_becomes_advice_with_its_numbers_which_nobody_follows(
    prometheus, shared, seen, tmp_path
):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(shared.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    plugin = Plugin(kubeconfig, shared.namespace, shared.kubectl.program.parent)

    def measured(*words):
        status = plugin.read("status", "seen", *words)
        assert status["used"], status["notes"]  # a busy machine may need longer than the plugin waits for a replica
        return status

    eventually(lambda: measured()["used"]["servingSeconds"] >= 60, "it has served for a minute")
    too_short = "too short a time for advice, which takes an hour"
    eventually(lambda: too_short in plugin("status", "seen"), too_short)

    status = eventually(lambda: measured("--advise-after", "1m"), "a replica says what it has used")
    used, (memory, processor) = status["used"], status["advice"]
    print(f"used {used}, advised {memory} {processor}")
    held = f"held at most {used['peakMemoryBytes'] / 2**30:.2f} GiB in "
    assert memory.startswith(f"A replica requests 1.17 GiB of memory and {held}")
    assert memory.endswith("Mi in spec.resources would hold that and 30% more.")
    assert processor.startswith("A replica requests 0.5 CPU and computed ")
    assert " of the busiest minute: 0.25 in spec.resources would carry that" in processor
    advised = f"Advice: {processor[:40]}"
    eventually(lambda: advised in plugin("status", "seen", "--advise-after", "1m"), advised)
    # Prometheus is told the same: both only grow, so its number comes to lie between what two readings say.
    for name, amount in (
        ("llmi_memory_peak_bytes", "peakMemoryBytes"),
        ("llmi_engine_busy_seconds_total", "busySeconds"),
    ):
        told = eventually(lambda: prometheus.reaches(f"{name}{{{seen}}}", used[amount]), name)  # noqa: B023
        assert told < measured()["used"][amount] + ROUNDED, name
    # Advice only.
    assert shared.get("llmi", "seen")["metadata"]["generation"] == 1
    assert shared.get("deployment", "seen")["metadata"]["generation"] == 1


def targets(prometheus):
    found = prometheus.healthy_targets()
    assert found.keys() == {"llminference", "llminference-operator", "cadvisor", "kube-state-metrics"}
    return found
