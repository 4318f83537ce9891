"""Argo CD, Flux and plain CI find a resource as they expect: states that move on, and no difference that stays."""

import json
import subprocess
from pathlib import Path

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.judge import argo, kstatus
from llmi_testing.space import container_status

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pod(space):
    """The one pod of a resource that is starting."""
    space.apply(make_body())
    name = space.wait_for_pods(1)[0]["metadata"]["name"]
    space.wait_for_reason("bert", "Starting")
    return name


def judged(space):
    body = space.need("llmi", "bert")
    return kstatus(body)[0].status, argo(body)[0].status


def test_a_starting_resource_is_waited_for_and_a_serving_one_is_done(space, pod):
    assert judged(space) == ("InProgress", "Progressing")
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    assert judged(space) == ("Current", "Healthy")


def test_what_stays_broken_is_given_up_at_once_with_the_reason(space, pod):
    failure = json.dumps({"code": "RevisionUnknown", "message": "There is no revision nope", "next": "correct it."})
    ended = {"exitCode": 67, "reason": "Error", "message": failure, "startedAt": None, "finishedAt": None}
    fetch = container_status("fetch", {"waiting": {"reason": "CrashLoopBackOff"}}, last={"terminated": ended})
    space.set_pod_status(pod, {"initContainerStatuses": [fetch]})
    space.wait_for_reason("bert", "RevisionUnknown")
    assert judged(space) == ("Failed", "Degraded")
    for verdict in (*kstatus(space.need("llmi", "bert")), *argo(space.need("llmi", "bert"))):
        assert "There is no revision nope (RevisionUnknown). Correct it." in verdict.message


def test_an_edit_is_in_progress_until_the_operator_has_seen_it(space, pod):
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")
    body = space.need("llmi", "bert")
    body["metadata"]["generation"] += 1  # as it is read in the moment after an edit
    assert (kstatus(body)[0].status, argo(body)[0].status) == ("InProgress", "Progressing")


def test_a_resource_that_goes_away_is_terminating(space, pod):
    space.patch("llmi", "bert", {"metadata": {"finalizers": ["tests.llminference.dev/hold"]}})
    space.delete("llmi", "bert")
    eventually(lambda: "deletionTimestamp" in space.need("llmi", "bert")["metadata"])
    assert kstatus(space.need("llmi", "bert"))[0].status == "Terminating"
    space.patch("llmi", "bert", {"metadata": {"finalizers": None}})


def test_scaled_to_zero_is_healthy_for_argo_but_not_ready(space, pod):
    space.kubectl("scale", "llmi/bert", "--replicas=0")
    space.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--ignore-not-found")
    space.wait_for_reason("bert", "ScaledToZero")
    assert judged(space) == ("InProgress", "Healthy")


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(["--server-side", "--field-manager=argocd-controller"], id="as Flux and Argo CD apply"),
        pytest.param([], id="as kubectl applies"),
    ],
)
def test_applied_examples_show_no_difference(space, flags):
    words = ("-f", str(ROOT / "examples"), *flags)
    space.kubectl("apply", *words)
    eventually(lambda: all(item["status"].get("observedGeneration") for item in space.list("llmi")), seconds=60)
    # kubectl reads twice, and what the operator writes to a status in between is no difference that stays.
    eventually(lambda: space.kubectl("diff", *words) == "", seconds=90)


def test_the_operator_owns_the_status_and_nothing_else(space):
    space.kubectl("apply", "--server-side", "--field-manager=flux", "-f", "-", stdin=json.dumps(make_body()))
    space.wait_for_reason("bert", "Starting")
    entries = space.need("llmi", "bert")["metadata"]["managedFields"]
    assert {(item["manager"], item.get("subresource", ""), tuple(item["fieldsV1"])) for item in entries} == {
        ("flux", "", ("f:spec",)),
        ("llminference-operator", "status", ("f:status",)),
    }


def test_a_flux_that_applies_again_restarts_nothing(space, pod):
    before = space.need("deployment", "bert")["metadata"]["generation"]
    for _ in range(2):
        space.kubectl(
            "apply", "--server-side", "--force-conflicts", "--field-manager=flux", "-f", "-",
            stdin=json.dumps(make_body()),
        )  # fmt: skip
    assert space.need("llmi", "bert")["metadata"]["generation"] == 1
    assert space.need("deployment", "bert")["metadata"]["generation"] == before


def test_the_health_script_joins_what_argo_cd_is_configured_with_already(space):
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "https://a"}}
    space.apply(there)
    space.kubectl("patch", "configmap", "argocd-cm", "--patch-file", str(ROOT / "deploy/argocd/argocd-cm.yaml"))
    data = space.need("configmap", "argocd-cm")["data"]
    assert data["url"] == "https://a"
    script = data["resource.customizations.health.llminference.dev_LLMInference"]
    assert script.rstrip() == (ROOT / "deploy/argocd/health.lua").read_text().rstrip()


@pytest.fixture
def ci(space, tmp_path):
    """A function that runs the script of the documentation that stops when waiting is pointless."""
    (snippet,) = [part for part in (ROOT / "docs/gitops.md").read_text().split("```") if "wait -n" in part]
    program = space.server._program("kubectl")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {program} --kubeconfig {space.server.kubeconfig} -n {space.namespace} "$@"\n')
    kubectl.chmod(0o755)

    def run():
        argv = ["bash", "-c", f"PATH={tmp_path}:$PATH\n" + snippet.removeprefix("sh\n")]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)

    return run


def test_ci_ends_early_with_the_reason_when_waiting_is_pointless(space, ci):
    space.apply(make_body(scheduling={"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}))
    done = ci()
    assert done.returncode == 1
    assert "The API server refuses" in done.stdout


def test_ci_goes_on_when_the_resource_serves(space, pod, ci):
    space.make_pods_ready()
    done = ci()
    assert done.returncode == 0, done.stderr
