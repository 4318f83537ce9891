"""The real Prometheus operator takes our PodMonitors and rules, and a real Prometheus what it makes of them."""

import json
import re
import subprocess
from contextlib import contextmanager

import httpx
import pytest
import yaml

import gobuild
from llmi_testing.apiserver import ROOT, ApiServer
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.prometheus_operator import (
    install_types,
    make_prometheus,
    read_generated,
    running_prometheus_operator,
)
from llmi_testing.space import Space
from observability.alerts import ALERTS

pytestmark = [pytest.mark.telemetry, pytest.mark.timeout(400)]
SYSTEM, SPACE, ACCOUNT = "llminference-system", "models", "llminference-prometheus"
MONITORED = {"observability": {"metrics": {"podMonitor": True}}}
JOBS = {
    f"podMonitor/{SPACE}/bert/0",
    f"podMonitor/{SYSTEM}/llminference-operator/0",
    f"podMonitor/{SYSTEM}/llminference-metrics-adapter/0",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Our types and theirs, our overlay, and a replica of a model that our operator has made."""
    folder = tmp_path_factory.mktemp("cluster")
    with ApiServer(controllers=True) as api:
        install_types(api)
        for path in ("deploy", "deploy/observability/prometheus-operator"):
            api.kubectl("apply", "--server-side", "-k", str(ROOT / path))
        api.kubectl("create", "namespace", SPACE)
        account = api.kubeconfig_for_service_account("llminference-operator", SYSTEM)
        with OperatorProcess(account, folder / "log"):
            space = Space(api, SPACE)
            space.apply(make_body(**MONITORED))
            (pod,) = space.wait_for_pods(1)
            eventually(lambda: space.list("podmonitors.monitoring.coreos.com"), "a PodMonitor is made", seconds=60)
        status = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        space.set_pod_status(pod["metadata"]["name"], status)
        yield api


@pytest.fixture(scope="module")
def generated(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    token = folder / "token"
    cluster.kubectl("-n", SYSTEM, "create", "serviceaccount", ACCOUNT)
    cluster.kubectl("create", "clusterrole", ACCOUNT, "--verb=get,list,watch", "--resource=pods")
    words = [f"--clusterrole={ACCOUNT}", f"--serviceaccount={SYSTEM}:{ACCOUNT}"]
    cluster.kubectl("create", "clusterrolebinding", ACCOUNT, *words)
    token.write_text(cluster.kubectl("-n", SYSTEM, "create", "token", ACCOUNT).strip())
    with running_prometheus_operator(cluster, folder):
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(make_prometheus(cluster, SYSTEM, token)))
        yield read_generated(cluster, SYSTEM)


@contextmanager
def running_prometheus(file, folder):
    address = f"127.0.0.1:{free_port()}"
    argv = [str(gobuild.prometheus().path("prometheus")), f"--config.file={file}", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log, httpx.Client(base_url=f"http://{address}/api/v1", timeout=60) as http:
        process = subprocess.Popen([*argv, f"--web.listen-address={address}"], stdout=log, stderr=log)

        def answers():
            assert process.poll() is None or pytest.fail((folder / "log").read_text()[-4000:])
            try:
                return http.get("/status/config").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        try:
            eventually(answers, "Prometheus answers", seconds=60)
            yield http
        finally:
            process.terminate()
            process.wait(30)


def test_each_monitor_is_a_job_and_every_rule_and_alert_is_taken(generated):
    jobs = {job["job_name"]: job for job in yaml.safe_load(generated.configuration)["scrape_configs"]}
    assert jobs.keys() == JOBS
    assert jobs[f"podMonitor/{SYSTEM}/llminference-operator/0"]["honor_labels"] is True
    (name,) = generated.rules
    assert re.fullmatch(rf"{SYSTEM}-llminference-[0-9a-f-]+\.yaml", name)
    groups = yaml.safe_load(generated.rules[name])["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts == {alert.name for alert in ALERTS}


def test_a_prometheus_with_that_configuration_finds_the_replica_with_our_labels_and_loads_every_rule(
    generated, tmp_path
):
    with running_prometheus(generated.write(tmp_path), tmp_path) as prometheus:

        def find():
            return prometheus.get("/targets", params={"state": "active"}).json()["data"]["activeTargets"]

        (target,) = eventually(find, "the replica is found", seconds=60)
        assert target["labels"].items() >= {
            "job": f"{SPACE}/bert", "namespace": SPACE, "llminference": "bert", "container": "server",
        }.items()  # fmt: skip
        assert target["scrapeUrl"] == "http://127.0.0.1:8080/metrics"
        groups = prometheus.get("/rules").json()["data"]["groups"]
        written = yaml.safe_load(next(iter(generated.rules.values())))["groups"]
        assert {one["name"]: len(one["rules"]) for one in groups} == {one["name"]: len(one["rules"]) for one in written}
