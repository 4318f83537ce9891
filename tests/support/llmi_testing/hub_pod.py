"""The fake hub of `llmi_testing.hub` in a pod, with one repository for each way to misbehave."""

import json
import subprocess

import kind_cluster
import models
from llmi_testing.live_cluster import TINY_BERT, LiveCluster, eventually

PORT = 8000
BERT_LARGE = "llmi/bert-large"
SLOW_BERT_LARGE = "llmi/slow-bert-large"
"""The same at a speed at which it takes ten minutes: what is known sooner is known before the download."""

NODE_FOLDER = "/var/lib/llmi-test/hub"
OF_TASKS = ("text-classification", "token-classification", "zero-shot-classification", "rerank", "text-generation")
"""Tasks with a small model each, which is the repository ``llmi/TASK``."""

GOOD = "llmi/tiny-bert"
BEHAVIOURS = {
    GOOD: {"revisions": ["v1"]},
    "llmi/private": {"token": "hub-secret"},
    "llmi/hidden": {"hidden": True},
    "llmi/gated": {"gated": True},
    SLOW_BERT_LARGE: {"bytes_per_second": 2_000_000},
    "llmi/slow": {"bytes_per_second": 20_000},
    "llmi/cut": {"cut_after_bytes": 50_000, "cut_times": 2},
    "llmi/broken": {"wrong_hash": True},
    "llmi/flaky": {"fail_times": 2, "fail_status": 503, "retry_after": "1"},
}


def start_hub(cluster: LiveCluster) -> str:
    """Start it in the cluster's namespace; give its address."""
    worker = kind_cluster.workers()[0].name
    made = ("bert-large", *OF_TASKS)
    for model in made:
        _copy(model, worker)
    pickles = {"config.json": "{}", "pytorch_model.bin": "not safetensors"}
    cluster("create", "configmap", "pickles", *(f"--from-literal={name}={text}" for name, text in pickles.items()))
    cluster("create", "configmap", "script", f"--from-literal=script.json={json.dumps(BEHAVIOURS)}")
    image = {"image": {"reference": TINY_BERT["image"]["reference"], "pullPolicy": "IfNotPresent"}}
    volumes = {
        **{f"/repos/{name}": image for name in BEHAVIOURS if name != SLOW_BERT_LARGE},
        "/repos/llmi/pickles": {"configMap": {"name": "pickles"}},
        **{f"/repos/llmi/{name}": {"hostPath": {"path": f"{NODE_FOLDER}/{name}"}} for name in made},
        f"/repos/{SLOW_BERT_LARGE}": {"hostPath": {"path": f"{NODE_FOLDER}/bert-large"}},
        "/script": {"configMap": {"name": "script"}},
    }
    words = ["/support/hub.py", "--root", "/repos", "--port", str(PORT), "--script", "/script/script.json"]
    cluster.run_pod("hub", words, "hub.py", node=worker, volumes=volumes)
    cluster("expose", "pod", "hub", f"--port={PORT}")
    cluster("wait", "--for=condition=Ready", "pod/hub", "--timeout=60s")
    address = f"http://hub.{cluster.namespace}.svc:{PORT}"
    eventually(lambda: "Traceback" not in cluster("logs", "hub"), "the hub runs")
    return address


def _copy(model: str, worker: str) -> None:
    target, mark = f"{NODE_FOLDER}/{model}", f"{NODE_FOLDER}/.{model}-complete"
    if subprocess.run(["docker", "exec", worker, "test", "-e", mark], check=False).returncode == 0:
        return
    folder = models.folder_of(f"llminference/model-{model}:dev")
    models.make_one(("llmi_testing.models", model), folder)
    subprocess.run(["docker", "exec", worker, "mkdir", "-p", target], check=True)
    subprocess.run(["docker", "cp", f"{folder}/.", f"{worker}:{target}"], check=True, capture_output=True)
    subprocess.run(["docker", "exec", worker, "touch", mark], check=True)
