"""Manifests of LLMInference that the API server must accept or refuse, and what it must say.

The same table is judged by a real kube-apiserver (tests/apiserver) and, where a rule exists on both sides, by the
Python types (tests/api).
"""

from dataclasses import dataclass
from typing import Any

from llmi_api import labels

MODEL = {"id": "google-bert/bert-large-uncased"}
SMALLEST = {"model": MODEL, "task": "fill-mask"}


def manifest(spec: Any, name: str = "bert", **metadata: Any) -> dict[str, Any]:
    """Wrap a spec into a whole resource."""
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def spec(**fields: Any) -> dict[str, Any]:
    """The smallest spec with fields added or replaced."""
    return {**SMALLEST, **fields}


@dataclass(frozen=True)
class Refused:
    """A manifest, and words that must all be in the refusal: the field and the rule."""

    case: str
    body: dict[str, Any]
    says: tuple[str, ...]
    by_types: bool = True
    """Whether the Python types refuse it as well."""


ONE_SOURCE = "Set exactly one of model.id, model.claim and model.image."
NAME_RULE = "metadata.name must begin with a letter"
QUANTITY = "must be a quantity above zero"

ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("the smallest one", manifest(SMALLEST)),
    ("a repository without an owner", manifest(spec(model={"id": "gpt2"}))),
    ("zero replicas", manifest(spec(replicas=0))),
    ("a revision that is a commit", manifest(spec(model={**MODEL, "revision": "0" * 40}))),
    ("a revision with a slash", manifest(spec(model={**MODEL, "revision": "refs/pr/1"}))),
    ("a mirror with a port and a path", manifest(spec(model={**MODEL, "endpoint": "http://hub.models:8000/api"}))),
    ("a claim", manifest(spec(model={"claim": {"name": "models", "path": "a/b"}}))),
    (
        "an image by digest",
        manifest(spec(model={"image": {"reference": "reg.example.com:5000/a/b@sha256:" + "0" * 64}})),
    ),
    ("an autoscaler with only a maximum", manifest(spec(autoscaling={"maxReplicas": 3}))),
    ("memory that no node has", manifest(spec(resources={"requests": {"memory": "465458732Gi"}}))),
    ("quantities as numbers", manifest(spec(resources={"requests": {"cpu": 1}, "limits": {"cpu": 2}}))),
    (
        "equal requests and limits in other words",
        manifest(spec(resources={"requests": {"cpu": "1000m"}, "limits": {"cpu": 1}})),
    ),
    ("a slice of a GPU", manifest(spec(accelerator={"resource": "nvidia.com/mig-1g.10gb"}))),
    ("the longest name", manifest(SMALLEST, name="b" * 46)),
    ("a toleration of everything", manifest(spec(scheduling={"tolerations": [{"operator": "Exists"}]}))),
]

REFUSED: list[Refused] = [
    Refused("no spec", {k: v for k, v in manifest(None).items() if k != "spec"}, ("spec", "Required value")),
    Refused("a spec that is null", manifest(None), ("spec",)),
    Refused("an empty spec", manifest({}), ("spec.model", "Required value")),
    Refused("no task", manifest({"model": MODEL}), ("spec.task", "Required value")),
    Refused("an unknown field", manifest(spec(replcas=2)), ('unknown field "spec.replcas"',), by_types=False),
    Refused("a nested unknown field", manifest(spec(limits={"maxInputToken": 1})), ('unknown field "spec.limits.maxInputToken"',), by_types=False),
    Refused("a smuggled pod template", manifest(spec(template={"spec": {"hostNetwork": True}})), ('unknown field "spec.template"',), by_types=False),
    Refused("no source", manifest(spec(model={})), ("spec.model", ONE_SOURCE)),
    Refused("two sources", manifest(spec(model={**MODEL, "claim": {"name": "c"}})), ("spec.model", ONE_SOURCE)),
    Refused("a token for a claim", manifest(spec(model={"claim": {"name": "c"}, "tokenSecret": {"name": "t"}})), ("spec.model", "go with model.id only")),
    Refused("an empty id", manifest(spec(model={"id": ""})), ("spec.model.id",)),
    Refused("an id of spaces", manifest(spec(model={"id": "   "})), ("spec.model.id",)),
    Refused("an id of 10,000 characters", manifest(spec(model={"id": "a" * 10_000})), ("spec.model.id",)),
    Refused("an id that climbs", manifest(spec(model={"id": "../../etc/passwd"})), ("spec.model.id",)),
    Refused("an absolute id", manifest(spec(model={"id": "/absolute"})), ("spec.model.id",)),
    Refused("an id of three parts", manifest(spec(model={"id": "a/b/c"})), ("spec.model.id",)),
    Refused("an id like a flag", manifest(spec(model={"id": "-rf"})), ("spec.model.id",)),
    Refused("an id with a shell in it", manifest(spec(model={"id": "a/$(id)"})), ("spec.model.id",)),
    Refused("an id with a newline", manifest(spec(model={"id": "a/b\n"})), ("spec.model.id",)),
    Refused("an id that looks alike", manifest(spec(model={"id": "gооgle/bert"})), ("spec.model.id",)),
    Refused("an id that is a URL", manifest(spec(model={"id": "http://169.254.169.254/x"})), ("spec.model.id",)),
    Refused("a revision with a newline", manifest(spec(model={**MODEL, "revision": "main\n"})), ("spec.model.revision",)),
    Refused("a mirror with a password", manifest(spec(model={**MODEL, "endpoint": "https://u:p@hub.example.com"})), ("spec.model.endpoint",)),
    Refused("a mirror that is a file", manifest(spec(model={**MODEL, "endpoint": "file:///etc"})), ("spec.model.endpoint",)),
    Refused("a path that climbs", manifest(spec(model={"claim": {"name": "c", "path": "../x"}})), ("spec.model.claim.path",)),
    Refused("an absolute path", manifest(spec(model={"claim": {"name": "c", "path": "/x"}})), ("spec.model.claim.path",)),
    Refused("a secret in another namespace", manifest(spec(model={**MODEL, "tokenSecret": {"name": "t", "namespace": "x"}})), ('unknown field "spec.model.tokenSecret.namespace"',), by_types=False),
    Refused("a secret name with a slash", manifest(spec(access={"apiKeySecret": {"name": "a/b"}})), ("spec.access.apiKeySecret.name",)),
    Refused("an unknown task", manifest(spec(task="fill-mas")), ("spec.task", "Unsupported value", '"fill-mask"')),
    Refused("an unknown precision", manifest(spec(engine={"precision": "fp8"})), ("spec.engine.precision", "Unsupported value")),
    Refused("an image with a space", manifest(spec(engine={"image": "server:1 "})), ("spec.engine.image",)),
    Refused("a digest that is too short", manifest(spec(engine={"image": "server@sha256:abc"})), ("spec.engine.image",)),
    Refused("a limit of nothing", manifest(spec(limits={"maxQueuedRequests": 0})), ("spec.limits.maxQueuedRequests", "greater than or equal to 1")),
    Refused("negative replicas", manifest(spec(replicas=-1)), ("spec.replicas", "greater than or equal to 0")),
    Refused("far too many replicas", manifest(spec(replicas=2**31)), ("spec.replicas",)),
    Refused("half a replica", manifest(spec(replicas=1.5)), ("spec.replicas", "integer")),
    Refused("replicas as a word", manifest(spec(replicas="3")), ("spec.replicas", "integer"), by_types=False),
    Refused("replicas and an autoscaler", manifest(spec(replicas=1, autoscaling={"maxReplicas": 2})), ("spec", "Set replicas or autoscaling, not both")),
    Refused("a minimum above the maximum", manifest(spec(autoscaling={"minReplicas": 3, "maxReplicas": 2})), ("spec.autoscaling", "must not be above autoscaling.maxReplicas")),
    Refused("an autoscaler down to zero", manifest(spec(autoscaling={"minReplicas": 0, "maxReplicas": 2})), ("spec.autoscaling.minReplicas",)),
    Refused("an empty autoscaler", manifest(spec(autoscaling={})), ("spec.autoscaling.maxReplicas", "Required value")),
    Refused("an autoscaler without a target", manifest(spec(autoscaling={"maxReplicas": 2, "targets": {}})), ("spec.autoscaling.targets", "needs cpuPercent, memoryPercent or both")),
    Refused("a target of nothing", manifest(spec(autoscaling={"maxReplicas": 2, "targets": {"cpuPercent": 0}})), ("spec.autoscaling.targets.cpuPercent",)),
    Refused("a quantity with a wrong unit", manifest(spec(resources={"limits": {"memory": "10GB!"}})), ("spec.resources.limits.memory", QUANTITY), by_types=False),
    Refused("a negative quantity", manifest(spec(resources={"limits": {"memory": "-1Gi"}})), ("spec.resources.limits.memory", QUANTITY), by_types=False),
    Refused("no memory", manifest(spec(resources={"limits": {"memory": 0}})), ("spec.resources.limits.memory", QUANTITY), by_types=False),
    Refused("a request above the limit", manifest(spec(resources={"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}})), ("spec.resources", "resources.requests.cpu must not be above resources.limits.cpu"), by_types=False),
    Refused("a disk request above the limit", manifest(spec(resources={"requests": {"ephemeral-storage": "2Gi"}, "limits": {"ephemeral-storage": "1Gi"}})), ("spec.resources", "ephemeral-storage must not be above"), by_types=False),
    Refused("no GPU at all", manifest(spec(accelerator={"count": 0})), ("spec.accelerator.count",)),
    Refused("a resource that is no device", manifest(spec(accelerator={"resource": "cpu"})), ("spec.accelerator.resource",)),
    Refused("a resource without a name", manifest(spec(accelerator={"resource": "nvidia.com/gpu/"})), ("spec.accelerator.resource",)),
    Refused("a label value of 64 characters", manifest(spec(scheduling={"nodeSelector": {"pool": "x" * 64}})), ("spec.scheduling.nodeSelector.pool",), by_types=False),
    Refused("a misspelt taint effect", manifest(spec(scheduling={"tolerations": [{"key": "a", "effect": "NoSchedul"}]})), ("spec.scheduling.tolerations[0].effect", "Unsupported value")),
    Refused("a Service of no such type", manifest(spec(service={"type": "ExternalName"})), ("spec.service.type", "Unsupported value")),
    Refused("port 0", manifest(spec(service={"port": 0})), ("spec.service.port",)),
    Refused("port 65536", manifest(spec(service={"port": 65536})), ("spec.service.port",)),
    Refused("a day and a second to start", manifest(spec(rollout={"startupTimeoutSeconds": 86401})), ("spec.rollout.startupTimeoutSeconds",)),
    Refused("a day to drain", manifest(spec(rollout={"drainSeconds": 86400})), ("spec.rollout.drainSeconds",)),
    Refused("a name that is too long", manifest(SMALLEST, name="b" * 47), (NAME_RULE,), by_types=False),
    Refused("a name with a dot", manifest(SMALLEST, name="bert.large"), (NAME_RULE,), by_types=False),
    Refused("a name that begins with a digit", manifest(SMALLEST, name="1bert"), (NAME_RULE,), by_types=False),
]  # fmt: skip
