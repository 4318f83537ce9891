"""Who may only write LLMInferences in one namespace reaches nothing outside it, whatever is in the fields."""

import json
import subprocess
from typing import Any

import pytest

from llmi_api import labels
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.space import Space

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(240), pytest.mark.usefixtures("operator")]
PRIVILEGED = {"privileged": True, "runAsUser": 0}
HOST_PATH = [{"name": "root", "hostPath": {"path": "/"}}]
SIDECAR = [{"name": "evil", "image": "evil.example/x", "securityContext": PRIVILEGED}]
HUB: dict[str, Any] = {"id": "google-bert/bert-large-uncased"}

# What an attacker would write beside the smallest spec. kubectl sends it without validating it first, so that the API
# server refuses it, or drops what it does not know, or hands it to the operator.
ATTACKS: dict[str, dict[str, Any]] = {
    "pod-template": {"template": {"spec": {"hostNetwork": True, "serviceAccountName": "powerful"}}},
    "pod-spec": {"podSpec": {"hostPID": True, "volumes": HOST_PATH}},
    "volumes": {"volumes": HOST_PATH, "volumeMounts": [{"name": "root", "mountPath": "/host"}]},
    "account": {"serviceAccountName": "powerful", "automountServiceAccountToken": True},
    "account-in-scheduling": {"scheduling": {"serviceAccountName": "powerful", "nodeName": "control-plane"}},
    "security-context": {"securityContext": PRIVILEGED, "engine": {"securityContext": PRIVILEGED}},
    "containers": {"containers": SIDECAR, "initContainers": SIDECAR, "sidecars": SIDECAR},
    "command": {"engine": {"command": ["sh", "-c", "id"], "args": ["--trust-remote-code"], "lifecycle": {}}},
    "host-namespaces": {"hostNetwork": True, "hostIPC": True, "engine": {"hostPort": 22, "privileged": True}},
    "external-addresses": {"service": {"externalIPs": ["203.0.113.7"], "externalName": "evil.example"}},
    "node-port": {"service": {"type": "NodePort", "nodePort": 22}},
    "external-name": {"service": {"type": "ExternalName"}},
    "annotation-of-ours": {"service": {"annotations": {"llminference.dev/plan": "0"}}},
    "token-elsewhere": {"model": {**HUB, "tokenSecret": {"name": "canary", "namespace": "victim"}}},
    "token-by-path": {"model": {**HUB, "tokenSecret": {"name": "victim/canary"}}},
    "token-key-that-climbs": {"model": {**HUB, "tokenSecret": {"name": "canary", "key": "../../etc/passwd"}}},
    "keys-elsewhere": {"access": {"apiKeySecret": {"name": "canary", "namespace": "victim"}}},
    "claim-elsewhere": {"model": {"claim": {"name": "data", "namespace": "victim"}}},
    "claim-by-path": {"model": {"claim": {"name": "victim/data"}}},
    "claim-that-climbs": {"model": {"claim": {"name": "data", "path": "../../.."}}},
    "absolute-claim": {"model": {"claim": {"name": "data", "path": "/etc"}}},
    "image-path-that-climbs": {"model": {"image": {"reference": "evil.example/x:1", "path": "../../etc"}}},
    "pull-secret-elsewhere": {"engine": {"imagePullSecrets": ["victim/canary"]}},
    "secret-in-a-variable": {"engine": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "canary"}}}]}},
    "loader": {"engine": {"env": [{"name": "LD_PRELOAD", "value": "/tmp/x.so"}]}},
    "python-path": {"engine": {"env": [{"name": "PYTHONPATH", "value": "/tmp"}]}},
    "hub-elsewhere": {"engine": {"env": [{"name": "HF_ENDPOINT", "value": "http://evil.example"}]}},
    "proxy": {"engine": {"env": [{"name": "https_proxy", "value": "http://evil.example"}]}},
    "shell-in-a-variable": {"engine": {"env": [{"name": "A", "value": "$(id) `id` ; reboot"}]}},
    "shell-in-the-model": {"model": {"id": "a/$(id)"}},
    "flag-as-model": {"model": {"id": "-rf"}},
    "metadata-service": {"model": {**HUB, "endpoint": "http://169.254.169.254"}},
    "file-as-hub": {"model": {**HUB, "endpoint": "file:///etc"}},
    "every-node": {"scheduling": {"tolerations": [{"operator": "Exists"}]}},
    "control-plane": {"scheduling": {"nodeSelector": {"node-role.kubernetes.io/control-plane": ""}}},
    "system-priority": {"scheduling": {"priorityClassName": "system-node-critical"}},
    "resource-that-is-none": {"accelerator": {"resource": "cpu"}},
    "roles": {"rbac": {"clusterRole": "cluster-admin"}, "clusterRole": "cluster-admin"},
    "another-image": {"engine": {"image": "evil.example/x:latest"}},
}  # fmt: skip
FORGED_METADATA: dict[str, dict[str, Any]] = {
    "forged-labels": {"labels": {labels.MANAGED_BY_LABEL: labels.MANAGED_BY, labels.OWNER_LABEL: "another"}},
    "forged-annotations": {"annotations": dict.fromkeys(("kopf.zalando.org/last", f"{labels.GROUP}/plan"), "{}")},
    "forged-finalizer": {"finalizers": [f"{labels.GROUP}/none"]},
}  # fmt: skip


class Editor:
    """A person whose only right is the role llminference-editor in one namespace."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._kubeconfig = space.server.kubeconfig_for_user(f"editor-of-{space.namespace}")
        space.kubectl(
            "create",
            "rolebinding",
            "editor",
            "--clusterrole=llminference-editor",
            f"--user=editor-of-{space.namespace}",
        )
        can_create = ("-n", space.namespace, "auth", "can-i", "create", "llminferences")
        eventually(lambda: self.run(*can_create)[0], "the API server goes by the binding")

    def run(self, *words: str, stdin: str | None = None) -> tuple[bool, str]:
        """Whether it went through, and what was said."""
        try:
            return True, self._space.server.kubectl(*words, stdin=stdin, kubeconfig=self._kubeconfig)
        except subprocess.CalledProcessError as error:
            return False, f"{error.stdout}{error.stderr}"

    def create(self, body: dict[str, Any]) -> tuple[bool, str]:
        """Create without any validation on this side."""
        namespace = body["metadata"].get("namespace", self._space.namespace)
        return self.run("-n", namespace, "create", "--validate=ignore", "-f", "-", stdin=json.dumps(body))


@pytest.fixture
def editor(space):
    return Editor(space)


@pytest.fixture
def victim(control_plane, space):
    """Somebody else's namespace, with all that would be worth reaching."""
    other = Space(control_plane, f"{space.namespace}-victim")
    control_plane.kubectl("create", "namespace", other.namespace)
    other.kubectl("create", "secret", "generic", "canary", "--from-literal=token=x")
    other.kubectl("create", "serviceaccount", "powerful")
    other.kubectl("create", "service", "clusterip", "bert", "--tcp=80")
    # What controllers make of their own accord is no trace of an attack.
    eventually(lambda: other.get("serviceaccount", "default") and other.get("configmap", "kube-root-ca.crt"))
    yield other
    control_plane.kubectl("delete", "namespace", other.namespace, "--wait=false")


def everything(
    space: Space, kinds: str = "services,secrets,serviceaccounts,roles,rolebindings,configmaps"
) -> dict[str, str]:
    items = json.loads(space.kubectl("get", kinds, "-o", "json"))["items"]
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}


def check_pod(pod: dict[str, Any], name: str) -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC", "nodeName"} & set(pod)
    assert pod["automountServiceAccountToken"] is False
    assert pod.get("serviceAccountName", name) == name
    sources = {key for volume in pod["volumes"] for key in volume if key != "name"}
    assert sources <= {"emptyDir", "secret", "persistentVolumeClaim", "image", "configMap"}
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        assert container["name"] in {"server", "fetch"}
        assert not [port for port in container.get("ports", ()) if "hostPort" in port]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert not {"privileged", "runAsUser", "procMount"} & set(container["securityContext"])
        assert "sh" not in [*container.get("command", ()), *container.get("args", ())]
        for variable in container.get("env", ()):
            assert variable["name"] not in {"LD_PRELOAD", "PYTHONPATH", "HF_ENDPOINT", "https_proxy"}
            assert "secretKeyRef" not in variable.get("valueFrom", {})


def wait_for_opinion(space: Space, name: str) -> None:
    eventually(
        lambda: space.status(name).get("observedGeneration"), f"the operator has an opinion of {name}", seconds=60
    )


def test_no_field_reaches_beyond_what_the_resource_is_for(space, editor, victim):
    # Here Pod Security is the boundary, as it should be in every namespace where others write.
    space.server.kubectl("label", "namespace", space.namespace, "pod-security.kubernetes.io/enforce=restricted")
    before = everything(victim), everything(Space(space.server, "kube-system"))
    outcomes = {name: editor.create(make_body(name, **spec)) for name, spec in ATTACKS.items()}
    for name, metadata in FORGED_METADATA.items():
        body = make_body(name)
        outcomes[name] = editor.create({**body, "metadata": {**body["metadata"], **metadata}})
    accepted = [name for name, (went_through, _) in outcomes.items() if went_through]
    for name in outcomes.keys() - set(accepted):
        assert "is invalid" in outcomes[name][1], outcomes[name]
    assert len(accepted) > 10
    for name in accepted:
        wait_for_opinion(space, name)
    deployments = {body["metadata"]["name"]: body for body in space.list("deployments")}
    assert set(deployments) == set(accepted)
    for name, body in deployments.items():
        check_pod(body["spec"]["template"]["spec"], name)
    for body in space.list("services"):
        assert not {"externalIPs", "externalName"} & set(body["spec"])
        assert all(port.get("nodePort", 30000) >= 30000 for port in body["spec"]["ports"])

    # The API server took every pod as restricted; none was refused.
    def all_have_pods():
        owners = {pod["metadata"]["labels"][labels.OWNER_LABEL] for pod in space.list("pods")}
        assert owners == set(accepted), set(accepted) ^ owners
        return True

    eventually(all_have_pods, seconds=60)
    assert {item["metadata"]["name"] for item in space.list("rolebindings")} == {"editor"}
    assert space.list("roles") == []
    assert (everything(victim), everything(Space(space.server, "kube-system"))) == before


def test_only_the_editors_own_namespace_takes_a_resource(editor, victim):
    body = make_body()
    went_through, words = editor.create({**body, "metadata": {**body["metadata"], "namespace": victim.namespace}})
    assert not went_through
    assert "forbidden" in words


@pytest.mark.parametrize(
    "words",
    [
        ("get", "secrets"),
        ("create", "pods"),
        ("create", "deployments"),
        ("create", "services"),
        ("create", "rolebindings"),
        ("create", "serviceaccounts", "--subresource=token"),
        ("patch", "llminferences", "--subresource=status"),
        ("deletecollection", "llminferences"),
    ],
    ids=" ".join,
)
def test_the_role_of_an_editor_is_about_this_kind_alone(space, editor, words):
    allowed, said = editor.run("-n", space.namespace, "auth", "can-i", *words)
    assert (allowed, said.split()[0]) == (False, "no")


def test_a_status_that_is_written_by_hand_is_not_believed(space, editor):
    body = make_body()
    assert editor.create({**body, "status": {"ready": "9/9", "url": "http://evil.example"}})[0]
    space.wait_for_reason("bert", "Starting")
    assert space.status("bert")["ready"] == "0/1"
    assert "url" not in space.status("bert")


def test_a_stolen_owner_takes_nothing_of_others_along(space, editor, victim):
    uid = victim.need("service", "bert")["metadata"]["uid"]
    body = make_body()
    owner = {"apiVersion": "v1", "kind": "Service", "name": "bert", "uid": uid, "controller": True}
    editor.create({**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}})
    # The garbage collector sees that no such owner is in this namespace.
    eventually(lambda: space.get("llmi", "bert") is None, seconds=40)
    assert victim.need("service", "bert")["metadata"]["uid"] == uid
