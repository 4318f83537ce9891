"""The operator keeps children as the spec says, on a real API server with real controllers."""

import json
import subprocess

import pytest

from llmi_testing.eventually import eventually, throughout
from llmi_testing.inference import make_body
from llmi_testing.space import container_status

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]
CHILDREN = ("deployment", "service", "serviceaccount", "networkpolicy")
CACHED = {"id": "a/b", "cache": {"size": "1Gi"}}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def replicas(space):
    return space.need("deployment", "bert")["spec"]["replicas"]


def server_container(space):
    return space.need("deployment", "bert")["spec"]["template"]["spec"]["containers"][0]


def test_creating_makes_deployment_service_and_status(space):
    space.apply(make_body())
    assert space.wait_for_reason("bert", "Starting") == "The replicas are being started."
    for kind in CHILDREN:
        owner = space.need(kind, "bert")["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["controller"]) == ("LLMInference", True)
    assert space.get("hpa", "bert") is None
    status = space.status("bert")
    assert status["ready"] == "0/1"
    assert status["observedGeneration"] == 1
    assert "url" not in status


def test_the_object_of_the_user_gets_no_finalizer_and_no_annotation(space):
    space.apply(make_body())
    space.wait_for_reason("bert", "Starting")
    metadata = space.need("llmi", "bert")["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}


def test_pods_pass_the_restricted_pod_security_standard(space):
    space.server.kubectl("label", "ns", space.namespace, "pod-security.kubernetes.io/enforce=restricted")
    secret = {"name": "s"}
    space.apply(make_body(model={"id": "a/b", "tokenSecret": secret}, access={"apiKeySecret": secret}))
    assert space.wait_for_pods(1)


def test_an_edit_reaches_the_deployment(space):
    space.apply(make_body())
    eventually(lambda: space.get("deployment", "bert"))
    space.patch("llmi", "bert", {"spec": {"replicas": 3, "limits": {"maxQueuedRequests": 7}}})
    eventually(lambda: replicas(space) == 3)
    names = {item["name"]: item.get("value") for item in server_container(space)["env"]}
    assert names["LLMI_MAX_QUEUED_REQUESTS"] == "7"


def test_a_field_that_the_user_takes_away_goes_away(space):
    space.apply(make_body(scheduling={"nodeSelector": {"disk": "fast"}}))
    pod = eventually(lambda: space.get("deployment", "bert"))["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"disk": "fast"}
    space.patch("llmi", "bert", {"spec": {"scheduling": None}})
    eventually(lambda: "nodeSelector" not in space.need("deployment", "bert")["spec"]["template"]["spec"])


def test_an_edit_by_hand_is_reverted(space):
    space.apply(make_body())
    eventually(lambda: space.get("service", "bert"))
    space.patch("deployment", "bert", {"spec": {"replicas": 5}})
    eventually(lambda: replicas(space) == 1)
    space.patch("service", "bert", {"spec": {"selector": {"llminference.dev/llminference": "other"}}})
    eventually(lambda: space.need("service", "bert")["spec"]["selector"]["llminference.dev/llminference"] == "bert")
    space.patch("deployment", "bert", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})
    eventually(lambda: space.need("deployment", "bert")["metadata"]["labels"].get("app.kubernetes.io/managed-by"))


def test_what_others_add_stays(space):
    space.apply(make_body())
    eventually(lambda: space.get("service", "bert"))
    space.patch("service", "bert", {"metadata": {"annotations": {"team": "search"}}})
    space.patch("llmi", "bert", {"spec": {"service": {"port": 8000}}})
    eventually(lambda: space.need("service", "bert")["spec"]["ports"][0]["port"] == 8000)
    assert space.need("service", "bert")["metadata"]["annotations"]["team"] == "search"


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_deleted_child_comes_back(space, kind):
    space.apply(make_body())
    before = eventually(lambda: space.get(kind, "bert"))["metadata"]["uid"]
    space.delete(kind, "bert")
    eventually(lambda: (space.get(kind, "bert") or {"metadata": {"uid": before}})["metadata"]["uid"] != before)


def test_a_budget_comes_back_and_goes_with_the_second_replica(space):
    space.apply(make_body(replicas=2))
    before = eventually(lambda: space.get("pdb", "bert"))["metadata"]["uid"]
    space.delete("pdb", "bert")
    eventually(lambda: (space.get("pdb", "bert") or {"metadata": {"uid": before}})["metadata"]["uid"] != before)
    space.kubectl("scale", "llmi", "bert", "--replicas=1")
    eventually(lambda: space.get("pdb", "bert") is None)
    assert eventually(lambda: replicas(space)) == 1


def test_an_edit_by_hand_is_told_with_its_author(space):
    space.apply(make_body())
    eventually(lambda: space.get("deployment", "bert"))
    space.kubectl("scale", "deployment", "bert", "--replicas=5")
    eventually(lambda: replicas(space) == 1)
    (event,) = eventually(lambda: events(space, "HandEditReverted"))
    assert event["message"].startswith("kubectl changed spec.replicas of Deployment bert, and it was set back")
    assert event["involvedObject"]["kind"] == "LLMInference"
    space.patch("llmi", "bert", {"spec": {"replicas": 2, "service": {"port": 81}}})
    eventually(lambda: replicas(space) == 2)
    assert len(events(space, "HandEditReverted")) == 1


def test_while_paused_nothing_is_touched(space):
    space.apply(make_body())
    eventually(lambda: space.get("deployment", "bert"))
    space.patch("llmi", "bert", {"spec": {"paused": True, "replicas": 3}})
    eventually(lambda: space.status("bert").get("observedGeneration") == 2)
    space.kubectl("scale", "deployment", "bert", "--replicas=2")
    throughout(lambda: replicas(space) == 2, seconds=1.5)
    space.patch("llmi", "bert", {"spec": {"paused": False}})
    eventually(lambda: replicas(space) == 3)


def test_pull_secrets_that_others_gave_the_account_stay(space):
    space.apply(make_body())
    eventually(lambda: space.get("serviceaccount", "bert"))
    space.patch("serviceaccount", "bert", {"imagePullSecrets": [{"name": "registry"}]})
    space.patch("serviceaccount", "bert", {"automountServiceAccountToken": True})
    eventually(lambda: space.need("serviceaccount", "bert")["automountServiceAccountToken"] is False)
    assert space.need("serviceaccount", "bert")["imagePullSecrets"] == [{"name": "registry"}]


def test_no_pod_runs_under_the_account_of_somebody_else(space):
    space.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bert"}})
    space.apply(make_body())
    assert "ServiceAccount bert that is not ours" in space.wait_for_reason("bert", "NameTaken")
    assert space.get("deployment", "bert") is None


def test_a_hole_in_the_wall_is_closed(space):
    space.apply(make_body(access={"allowFrom": []}))
    wanted = eventually(lambda: space.get("networkpolicy", "bert"))["spec"]
    space.patch("networkpolicy", "bert", {"spec": {"egress": [{}], "ingress": [{}]}})
    eventually(lambda: space.need("networkpolicy", "bert")["spec"] == wanted)


def test_the_first_commit_is_pinned_without_a_rollout(space):
    space.apply(make_body())
    pod = space.wait_for_pods(1)[0]["metadata"]["name"]
    report = json.dumps({"revision": COMMIT, "bytes": 1, "seconds": 1})
    end = {"exitCode": 0, "reason": "Completed", "message": report, "finishedAt": "2026-01-01T00:00:00Z"}
    fetched = container_status("fetch", {"terminated": {**end, "startedAt": "2026-01-01T00:00:00Z"}})
    space.set_pod_status(pod, {"initContainerStatuses": [fetched]})
    pins = eventually(lambda: space.get("configmap", "bert-model"))["data"]
    variable = space.need("pod", pod)["spec"]["initContainers"][0]["env"][-1]
    assert variable["name"] == "LLMI_MODEL_COMMIT"
    assert pins == {variable["valueFrom"]["configMapKeyRef"]["key"]: COMMIT}
    eventually(lambda: space.status("bert")["model"]["revision"] == COMMIT)
    assert space.need("deployment", "bert")["metadata"]["generation"] == 1


def test_a_cache_is_kept_or_goes_as_its_retention_says(space):
    space.apply(make_body(model=CACHED))
    uid = eventually(lambda: space.get("pvc", "bert-cache"))["metadata"]["uid"]
    space.patch("llmi", "bert", {"spec": {"model": {"cache": {"retention": "Retain"}}}})
    eventually(lambda: "ownerReferences" not in space.need("pvc", "bert-cache")["metadata"])
    space.kubectl("delete", "llmi", "bert", "--cascade=foreground")
    assert space.need("pvc", "bert-cache")["metadata"]["uid"] == uid
    space.apply(make_body(model=CACHED))
    eventually(lambda: "ownerReferences" in space.need("pvc", "bert-cache")["metadata"])
    assert space.need("pvc", "bert-cache")["metadata"]["uid"] == uid
    # No replica of the old version is left that could use it.
    space.patch("llmi", "bert", {"spec": {"replicas": 0, "model": {"cache": None}}})
    eventually(lambda: space.get("pvc", "bert-cache") is None)


def test_a_cache_grows(space):
    name = f"growing-{space.namespace}"
    space.apply({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": "example.com/none", "allowVolumeExpansion": True,
    })  # fmt: skip
    space.apply({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": name,
            "csi": {"driver": "example.com", "volumeHandle": "one"},
        },
    })  # fmt: skip
    cache = {"size": "1Gi", "storageClass": name}
    space.apply(make_body(model={"id": "a/b", "cache": cache}))
    eventually(lambda: (space.get("pvc", "bert-cache") or {}).get("status", {}).get("phase") == "Bound")
    space.patch("llmi", "bert", {"spec": {"model": {"cache": {"size": "2048Mi"}}}})
    eventually(lambda: space.need("pvc", "bert-cache")["spec"]["resources"]["requests"]["storage"] == "2Gi")
    space.kubectl("delete", "storageclass", name)


def test_a_foreign_object_of_the_same_name_is_left_alone_and_named(space):
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "bert"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 1234}]},
    }
    space.apply(foreign)
    before = space.need("service", "bert")
    space.apply(make_body())
    why = space.wait_for_reason("bert", "NameTaken")
    assert "Service bert" in why
    assert space.condition("bert", "Stalled")["status"] == "True"
    assert space.need("service", "bert") == before


def test_what_the_api_server_refuses_is_said_in_its_words(space):
    space.apply(make_body(scheduling={"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}))
    why = space.wait_for_reason("bert", "Refused")
    assert "value must be empty when `operator` is 'Exists'" in why
    space.patch("llmi", "bert", {"spec": {"scheduling": None}})
    space.wait_for_reason("bert", "Starting")


def test_deleting_takes_everything_along(space):
    space.apply(make_body(replicas=None, autoscaling={"maxReplicas": 3}))
    eventually(lambda: space.get("hpa", "bert"))
    space.delete("llmi", "bert")
    for kind in (*CHILDREN, "hpa"):
        eventually(lambda kind=kind: space.get(kind, "bert") is None, seconds=40)


def test_foreground_deletion_is_not_undone(space):
    space.apply(make_body())
    eventually(lambda: space.get("service", "bert"))
    space.delete("llmi", "bert", "--cascade=foreground")
    eventually(lambda: space.get("llmi", "bert") is None, seconds=40)
    assert space.get("deployment", "bert") is None


def test_orphans_are_adopted_by_a_resource_of_the_same_name(space):
    space.apply(make_body())
    uid = eventually(lambda: space.get("deployment", "bert"))["metadata"]["uid"]
    space.kubectl("delete", "llmi", "bert", "--cascade=orphan")
    assert not space.need("deployment", "bert")["metadata"].get("ownerReferences")
    space.apply(make_body())
    eventually(lambda: space.need("deployment", "bert")["metadata"].get("ownerReferences"))
    assert space.need("deployment", "bert")["metadata"]["uid"] == uid


def test_switching_autoscaling_on_and_off_never_drops_replicas(space):
    space.apply(make_body(replicas=3))
    eventually(lambda: replicas(space) == 3)
    watch = Watch(space)
    space.patch("llmi", "bert", {"spec": {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 6}}})
    eventually(lambda: space.get("hpa", "bert"))
    eventually(lambda: not owners_of_replicas(space) & {"llminference-operator"})
    # In the autoscaler's place, through the same subresource.
    space.kubectl("scale", "deployment", "bert", "--replicas=5")
    throughout(lambda: replicas(space) == 5, seconds=1.5)
    space.patch("llmi", "bert", {"spec": {"replicas": 5, "autoscaling": None}})
    eventually(lambda: space.get("hpa", "bert") is None)
    eventually(lambda: "llminference-operator" in owners_of_replicas(space))
    space.patch("llmi", "bert", {"spec": {"replicas": 4}})
    eventually(lambda: replicas(space) == 4)
    assert min(watch.stop()) >= 3


def test_autoscaling_begins_at_its_minimum_and_lifts_what_was_scaled_to_zero(space):
    space.apply(make_body(autoscaling={"minReplicas": 2, "maxReplicas": 6}))
    eventually(lambda: space.get("hpa", "bert"))
    eventually(lambda: replicas(space) == 2 and "llminference-operator" not in owners_of_replicas(space))
    space.patch("llmi", "bert", {"spec": {"replicas": 0, "autoscaling": None}})
    eventually(lambda: replicas(space) == 0)
    space.patch("llmi", "bert", {"spec": {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 6}}})
    eventually(lambda: replicas(space) == 2)


def test_an_edit_keeps_the_node_port(space):
    space.apply(make_body(service={"type": "NodePort"}))
    port = eventually(lambda: space.get("service", "bert"))["spec"]["ports"][0]["nodePort"]
    space.patch("llmi", "bert", {"spec": {"replicas": 2}})
    eventually(lambda: replicas(space) == 2)
    assert space.need("service", "bert")["spec"]["ports"][0]["nodePort"] == port


def test_the_type_of_the_service_can_be_changed(space):
    space.apply(make_body(service={"type": "NodePort"}))
    eventually(lambda: space.get("service", "bert"))
    space.patch("llmi", "bert", {"spec": {"service": {"type": "ClusterIP"}}})
    eventually(lambda: space.need("service", "bert")["spec"]["type"] == "ClusterIP")
    assert "nodePort" not in space.need("service", "bert")["spec"]["ports"][0]


def test_events_tell_of_changes_of_state(space):
    space.apply(make_body())
    space.wait_for_reason("bert", "Starting")

    eventually(lambda: {item["reason"] for item in events(space)} == {"Starting"})


def events(space, reason=None):
    ours = [item for item in space.list("events") if item["involvedObject"]["kind"] == "LLMInference"]
    return [item for item in ours if reason in {None, item["reason"]}]


def owners_of_replicas(space):
    entries = space.need("deployment", "bert")["metadata"]["managedFields"]
    return {item["manager"] for item in entries if "f:replicas" in item["fieldsV1"].get("f:spec", {})}


class Watch:
    """Every number of replicas that the Deployment ever had, from its own watch."""

    def __init__(self, space):
        program = [str(space.server._program("kubectl")), "--kubeconfig", str(space.server.kubeconfig)]
        words = ["-n", space.namespace, "get", "deployment", "bert", "--watch", "-o", "json", "--output-watch-events"]
        self._process = subprocess.Popen([*program, *words], stdout=subprocess.PIPE, text=True)
        self._first = self._process.stdout.readline()

    def stop(self):
        self._process.terminate()
        text = self._first + self._process.communicate()[0]
        seen, decoder = [], json.JSONDecoder()
        while text.strip():
            try:
                event, end = decoder.raw_decode(text.lstrip())
            except json.JSONDecodeError:
                break
            text = text.lstrip()[end:]
            seen.append(event["object"]["spec"]["replicas"])
        assert seen
        return seen
