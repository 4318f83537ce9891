"""The fake hub of `llmi_testing.hub` in a pod, with one repository for each way to misbehave."""

import json
import subprocess

import kind_cluster
import models
from llmi_testing.live_cluster import TINY_BERT, LiveCluster, eventually

PORT = 8000
BERT_LARGE = "llmi/bert-large"
NODE_FOLDER = "/var/lib/llmi-test/bert-large"
GOOD = "llmi/tiny-bert"
BEHAVIOURS = {
    GOOD: {"revisions": ["v1"]},
    "llmi/private": {"token": "hub-secret"},
    "llmi/hidden": {"hidden": True},
    "llmi/gated": {"gated": True},
    "llmi/slow": {"bytes_per_second": 20_000},
    "llmi/cut": {"cut_after_bytes": 50_000, "cut_times": 2},
    "llmi/broken": {"wrong_hash": True},
    "llmi/flaky": {"fail_times": 2, "fail_status": 503, "retry_after": "1"},
}


def start_hub(cluster: LiveCluster) -> str:
    """Start it in the cluster's namespace; give its address."""
    worker = kind_cluster.workers()[0].name
    _copy_bert_large(worker)
    pickles = {"config.json": "{}", "pytorch_model.bin": "not safetensors"}
    cluster("create", "configmap", "pickles", *(f"--from-literal={name}={text}" for name, text in pickles.items()))
    cluster("create", "configmap", "script", f"--from-literal=script.json={json.dumps(BEHAVIOURS)}")
    image = {"image": {"reference": TINY_BERT["image"]["reference"], "pullPolicy": "IfNotPresent"}}
    volumes = {
        **{f"/repos/{name}": image for name in BEHAVIOURS},
        "/repos/llmi/pickles": {"configMap": {"name": "pickles"}},
        f"/repos/{BERT_LARGE}": {"hostPath": {"path": NODE_FOLDER, "type": "Directory"}},
        "/script": {"configMap": {"name": "script"}},
    }
    words = ["/support/hub.py", "--root", "/repos", "--port", str(PORT), "--script", "/script/script.json"]
    cluster.run_pod("hub", words, "hub.py", node=worker, volumes=volumes)
    cluster("expose", "pod", "hub", f"--port={PORT}")
    cluster("wait", "--for=condition=Ready", "pod/hub", "--timeout=60s")
    address = f"http://hub.{cluster.namespace}.svc:{PORT}"
    eventually(lambda: "Traceback" not in cluster("logs", "hub"), "the hub runs", seconds=10)
    return address


def _copy_bert_large(worker: str) -> None:
    folder = models.folder_of("llminference/model-bert-large:dev")
    there = subprocess.run(["docker", "exec", worker, "test", "-e", NODE_FOLDER + ".complete"], check=False)
    if there.returncode == 0:
        return
    models.make_one(("llmi_testing.models", "bert-large"), folder)
    subprocess.run(["docker", "exec", worker, "mkdir", "-p", NODE_FOLDER], check=True)
    subprocess.run(["docker", "cp", f"{folder}/.", f"{worker}:{NODE_FOLDER}"], check=True, capture_output=True)
    subprocess.run(["docker", "exec", worker, "touch", NODE_FOLDER + ".complete"], check=True)
