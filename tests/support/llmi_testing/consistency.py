"""Which field of a child follows from which field of the spec: one row for every field, as data."""

import copy
from dataclasses import dataclass, field
from typing import Any

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_operator.plan.pin import make_pin_key
from llmi_testing.inference import make_resource

POD = "spec.template.spec"
NODES = f"{POD}.affinity.nodeAffinity"
SERVER = f"{POD}.containers[server]"
FETCH = f"{POD}.initContainers[fetch]"
ABSENT = object()
CLAIMED = "spec.spec.devices.requests[devices].exactly"
DRA = {"accelerator": {"dra": {"deviceClassName": "a"}}}
GPU = {"accelerator": {}}
AUTO = {"replicas": None, "autoscaling": {"maxReplicas": 5}}
HUB = {"id": "google-bert/bert-large-uncased"}
CACHE = {"model": {**HUB, "cache": {"size": "20Gi"}}}
BALANCED = {"service": {"type": "LoadBalancer"}}
MONITORED = {"observability": {"metrics": {"podMonitor": True}}}
PORTS = [{"protocol": "TCP", "port": 8080}]


@dataclass(frozen=True)
class Row:
    """A change of the spec, and what must become of it.

    Attributes:
        leaf: The field of the spec.
        change: Parts of the spec that replace those of ``base``.
        kind: Kind of the child.
        place: Place in the child; ``[name]`` or ``[0]`` picks an item of a list, ``%`` is a dot inside a key.
        value: What must be there with the change, and must not be there without it.
        base: Parts of the spec before the change, on top of the smallest one.
    """

    leaf: str
    change: dict[str, Any]
    kind: str
    place: str
    value: Any
    base: dict[str, Any] = field(default_factory=dict)


def find(manifest: Any, place: str) -> Any:
    """What is at a place; ABSENT when nothing is."""
    node = manifest
    for part in place.replace("[", ".[").split("."):
        step = part.replace("%", ".")
        if step.startswith("["):
            name = step[1:-1]
            if name.isdigit():
                node = node[int(name)] if isinstance(node, list) and int(name) < len(node) else ABSENT
            else:
                node = next((item for item in node if item.get("name") == name), ABSENT)
        else:
            node = node.get(step, ABSENT) if isinstance(node, dict) else ABSENT
        if node is ABSENT:
            return ABSENT
    return copy.deepcopy(node)


def _env(name: str, container: str = SERVER) -> str:
    return f"{container}.env[{name}].value"


def _pin_key(**model: str) -> str:
    return make_pin_key(make_resource(model={**HUB, **model}).spec.model)


def _tolerations(**toleration: Any) -> dict[str, Any]:
    return {"scheduling": {"tolerations": [{"key": "gpu", "operator": "Exists", **toleration}]}}


def _allow(**peer: Any) -> dict[str, Any]:
    return {"access": {"allowFrom": [peer]}}


def _asleep(**wake_up: dict[str, str]) -> dict[str, Any]:
    scaling = {"maxReplicas": 5, "minReplicas": 0, "backend": "keda", "wakeUp": wake_up}
    return {"replicas": None, "autoscaling": scaling}


def _custom(**engine: Any) -> dict[str, Any]:
    return {"engine": {"name": "custom", "image": "corp/program:1", **engine}}


_D = "Deployment"
_LONGEST_ANSWER = {"task": "text-generation", "limits": {"maxOutputTokens": 7}}
_KEY = {"access": {"apiKeySecret": {"name": "keys"}}}
_TOKEN = {"model": {**HUB, "tokenSecret": {"name": "hub"}}}
_TOLERATED = _tolerations()
_NFS = {"model": {**HUB, "cache": {"size": "20Gi", "storageClass": "nfs"}}}
_MANY = {"model": {**HUB, "cache": {"size": "20Gi", "accessMode": "ReadWriteMany"}}}
_KEPT = {"model": {**HUB, "cache": {"size": "20Gi", "retention": "Retain"}}}
_ENV = {"engine": {"env": [{"name": "A", "value": "$(B)"}]}}
_CHAT = {"task": "text-generation"}
_TRITON = {"engine": {"name": "triton"}}
_VLLM = {**_CHAT, "engine": {"name": "vllm"}}
_TUNED = {**_CHAT, "engine": {"name": "vllm", "args": ["--max-num-seqs=$(N)"]}}
_QUEUED = {"replicas": None, "autoscaling": {"maxReplicas": 5, "targets": {"inFlightPerReplica": 7}}}
_IN_FLIGHT = "autoscaling.targets.inFlightPerReplica"
_PODS = "spec.metrics[0].pods"
_KEDA = {"replicas": None, "autoscaling": {"maxReplicas": 5, "backend": "keda"}}
_TRIGGER = "spec.triggers[wake-up].metadata"
_SO = "ScaledObject"
_WAKE_UP = "autoscaling.wakeUp"

_BY_QUERY = _asleep(prometheus={"serverAddress": "http://p", "query": "q"})
_BY_ROUTE = _asleep(httpAddOn={"interceptorRoute": "r", "scalerAddress": "s:1"})
_TWO = {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 5}}
_CLASS = {"service": {"type": "LoadBalancer", "loadBalancerClass": "a/b"}}
_RANGES = {"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}}
_LABELLED = {"observability": {"metrics": {"podMonitor": True, "labels": {"release": "p"}}}}
_CLAIM = {"model": {"claim": {"name": "models"}}}
_IMAGE = {"model": {"image": {"reference": "reg.example.com/m:1"}}}
_ASKED = '[{"input": "a [MASK]", "expect": "b"}]'
_OTHERWISE = {"verify": [{"input": "a [MASK]", "expect": "c"}]}
_DEBUG = {"observability": {"logs": {"level": "debug"}}}
_VERIFIED = {"verify": [{"input": "a [MASK]", "expect": "b"}]}

ROWS = [
    Row("model.id", {"model": {"id": "a/b"}}, _D, _env("LLMI_MODEL_ID", FETCH), "a/b"),
    Row("model.id", {"model": {"id": "a/b"}}, _D, _env("LLMI_MODEL_NAME"), "a/b"),
    Row("model.revision", {"model": {**HUB, "revision": "v1"}}, _D, _env("LLMI_MODEL_REVISION", FETCH), "v1"),
    Row(
        "model.revision",
        {"model": {**HUB, "revision": "v1"}},
        _D,
        f"{FETCH}.env[LLMI_MODEL_COMMIT].valueFrom.configMapKeyRef.key",
        _pin_key(revision="v1"),
    ),
    Row("model.revision", {"model": {**HUB, "revision": "0" * 40}}, _D, f"{FETCH}.env[LLMI_MODEL_COMMIT]", ABSENT),
    Row("model.tokenSecret.name", _TOKEN, _D, f"{POD}.volumes[hub-token].secret.secretName", "hub"),
    Row(
        "model.tokenSecret.key",
        {"model": {**HUB, "tokenSecret": {"name": "hub", "key": "k"}}},
        _D,
        f"{POD}.volumes[hub-token].secret.items[0].key",
        "k",
        _TOKEN,
    ),
    Row(
        "model.endpoint",
        {"model": {**HUB, "endpoint": "http://hub.example.com:8000"}},
        _D,
        _env("LLMI_HUB_ENDPOINT", FETCH),
        "http://hub.example.com:8000",
    ),
    Row(
        "model.endpoint",
        {"model": {**HUB, "endpoint": "http://hub.example.com:8000"}},
        "NetworkPolicy",
        "spec.egress[1].ports",
        [{"protocol": "TCP", "port": 8000}],
    ),
    Row(
        "model.cache.claim",
        {"model": {**HUB, "cache": {"claim": "mine"}}},
        _D,
        f"{POD}.volumes[cache].persistentVolumeClaim.claimName",
        "mine",
    ),
    Row("model.cache.size", CACHE, "PersistentVolumeClaim", "spec.resources.requests.storage", "20Gi"),
    Row("model.cache.size", CACHE, _D, f"{POD}.volumes[cache].persistentVolumeClaim.claimName", "bert-cache"),
    Row("model.cache.size", CACHE, _D, _env("LLMI_CACHE_DIR", FETCH), "/cache"),
    Row("model.cache.storageClass", _NFS, "PersistentVolumeClaim", "spec.storageClassName", "nfs", CACHE),
    Row("model.cache.accessMode", _MANY, "PersistentVolumeClaim", "spec.accessModes", ["ReadWriteMany"], CACHE),
    Row("model.cache.accessMode", _MANY, _D, f"{POD}.affinity", ABSENT, CACHE),
    Row("model.cache.retention", _KEPT, "PersistentVolumeClaim", "metadata.ownerReferences", ABSENT, CACHE),
    Row("model.claim.name", _CLAIM, _D, f"{POD}.volumes[model].persistentVolumeClaim.claimName", "models"),
    Row("model.claim.name", _CLAIM, "NetworkPolicy", "spec.egress[1]", ABSENT),
    Row(
        "model.claim.path",
        {"model": {"claim": {"name": "models", "path": "a/b"}}},
        _D,
        f"{SERVER}.volumeMounts[model].subPath",
        "a/b",
        _CLAIM,
    ),
    Row("model.image.reference", _IMAGE, _D, f"{POD}.volumes[model].image.reference", "reg.example.com/m:1"),
    Row(
        "model.image.path",
        {"model": {"image": {"reference": "reg.example.com/m:1", "path": "a"}}},
        _D,
        f"{SERVER}.volumeMounts[model].subPath",
        "a",
        _IMAGE,
    ),
    Row("task", {"task": "token-classification"}, _D, _env("LLMI_TASK"), "token-classification"),
    Row("engine.precision", {"engine": {"precision": "float16"}}, _D, _env("LLMI_PRECISION"), "float16"),
    Row("engine.precision", {"engine": {"precision": "int8"}}, _D, _env("LLMI_PRECISION"), "int8"),
    Row("engine.image", {"engine": {"image": "reg.example.com/s:1"}}, _D, f"{SERVER}.image", "reg.example.com/s:1"),
    Row("engine.name", _VLLM, _D, f"{SERVER}.image", "vllm/vllm-openai-cpu:v0.33.0", _CHAT),
    Row("engine.name", _VLLM, _D, f"{SERVER}.startupProbe.httpGet.path", "/health", _CHAT),
    Row("engine.name", _VLLM, "ConfigMap", "metadata.name", "bert-engine", _CHAT),
    Row("engine.name", _TRITON, _D, f"{SERVER}.image", "llminference/triton:dev"),
    Row("engine.name", _TRITON, _D, f"{SERVER}.args[0]", "triton"),
    Row("engine.command", _custom(command=["a", "$(B)"]), _D, f"{SERVER}.command", ["a", "$$(B)"], _custom()),
    Row("engine.port", _custom(port=9000), _D, f"{SERVER}.ports[http].containerPort", 9000, _custom()),
    Row("engine.port", _custom(port=9000), "NetworkPolicy", "spec.ingress[0].ports[0].port", 9000, _custom()),
    Row("engine.healthPath", _custom(healthPath="/up"), _D, f"{SERVER}.livenessProbe.httpGet.path", "/up", _custom()),
    Row("engine.args", _TUNED, _D, f"{SERVER}.args[19]", "--max-num-seqs=$$(N)", _VLLM),
    Row("engine.image", {"engine": {"image": "reg.example.com/s:1"}}, _D, f"{FETCH}.image", "reg.example.com/s:1"),
    Row(
        "engine.imagePullSecrets",
        {"engine": {"imagePullSecrets": ["registry"]}},
        _D,
        f"{POD}.imagePullSecrets",
        [{"name": "registry"}],
    ),
    Row("engine.env.name", _ENV, _D, f"{SERVER}.env[A]", {"name": "A", "value": "$$(B)"}),
    Row("engine.env.value", {"engine": {"env": [{"name": "A", "value": "c"}]}}, _D, _env("A"), "c", _ENV),
    Row("limits.maxOutputTokens", _LONGEST_ANSWER, _D, _env("LLMI_MAX_OUTPUT_TOKENS"), "7"),
    Row("limits.maxInputTokens", {"limits": {"maxInputTokens": 7}}, _D, _env("LLMI_MAX_INPUT_TOKENS"), "7"),
    Row("limits.longInputs", {"limits": {"longInputs": "truncate"}}, _D, _env("LLMI_LONG_INPUTS"), "truncate"),
    Row("limits.maxBatchTokens", {"limits": {"maxBatchTokens": 7}}, _D, _env("LLMI_MAX_BATCH_TOKENS"), "7"),
    Row("limits.maxQueuedRequests", {"limits": {"maxQueuedRequests": 7}}, _D, _env("LLMI_MAX_QUEUED_REQUESTS"), "7"),
    Row(
        "limits.requestTimeoutSeconds",
        {"limits": {"requestTimeoutSeconds": 7}},
        _D,
        _env("LLMI_REQUEST_TIMEOUT_SECONDS"),
        "7",
    ),
    Row("replicas", {"replicas": 3}, _D, "spec.replicas", 3),
    Row("replicas", {"replicas": 3}, "PodDisruptionBudget", "spec.maxUnavailable", 1),
    Row("autoscaling.minReplicas", _TWO, "HorizontalPodAutoscaler", "spec.minReplicas", 2, AUTO),
    Row("autoscaling.minReplicas", _TWO, "PodDisruptionBudget", "spec.maxUnavailable", 1, AUTO),
    Row("autoscaling.minReplicas", _BY_ROUTE, "ScaledObject", "spec.minReplicaCount", 0, _KEDA),
    Row("autoscaling.backend", _KEDA, "ScaledObject", "spec.maxReplicaCount", 5, AUTO),
    Row("autoscaling.backend", _KEDA, "HorizontalPodAutoscaler", "spec", ABSENT, AUTO),
    Row(f"{_WAKE_UP}.prometheus.serverAddress", _BY_QUERY, _SO, f"{_TRIGGER}.serverAddress", "http://p", _BY_ROUTE),
    Row(f"{_WAKE_UP}.prometheus.query", _BY_QUERY, _SO, f"{_TRIGGER}.query", "q", _BY_ROUTE),
    Row(f"{_WAKE_UP}.httpAddOn.interceptorRoute", _BY_ROUTE, _SO, f"{_TRIGGER}.interceptorRoute", "r", _BY_QUERY),
    Row(f"{_WAKE_UP}.httpAddOn.scalerAddress", _BY_ROUTE, _SO, f"{_TRIGGER}.scalerAddress", "s:1", _BY_QUERY),
    Row("autoscaling.maxReplicas", AUTO, "HorizontalPodAutoscaler", "spec.maxReplicas", 5),
    Row("autoscaling.maxReplicas", AUTO, _D, "spec.replicas", ABSENT),
    Row(
        "autoscaling.targets.cpuPercent",
        {"autoscaling": {"maxReplicas": 5, "targets": {"cpuPercent": 40}}},
        "HorizontalPodAutoscaler",
        "spec.metrics[0].containerResource.target.averageUtilization",
        40,
        AUTO,
    ),
    Row(
        "autoscaling.targets.memoryPercent",
        {"autoscaling": {"maxReplicas": 5, "targets": {"memoryPercent": 40}}},
        "HorizontalPodAutoscaler",
        "spec.metrics[0].containerResource.name",
        "memory",
        AUTO,
    ),
    Row(_IN_FLIGHT, _QUEUED, "HorizontalPodAutoscaler", f"{_PODS}.metric.name", IN_FLIGHT_METRIC, AUTO),
    Row(_IN_FLIGHT, _QUEUED, "HorizontalPodAutoscaler", f"{_PODS}.target.averageValue", "7", AUTO),
    Row(
        "autoscaling.scaleDownDelaySeconds",
        {"autoscaling": {"maxReplicas": 5, "scaleDownDelaySeconds": 7}},
        "HorizontalPodAutoscaler",
        "spec.behavior.scaleDown.stabilizationWindowSeconds",
        7,
        AUTO,
    ),
    Row("resources.requests.cpu", {"resources": {"requests": {"cpu": 7}}}, _D, f"{SERVER}.resources.requests.cpu", "7"),
    Row(
        "resources.requests.memory",
        {"resources": {"requests": {"memory": "7Gi"}}},
        _D,
        f"{SERVER}.resources.requests.memory",
        "7Gi",
    ),
    Row(
        "resources.requests.ephemeral-storage",
        {"resources": {"requests": {"ephemeral-storage": "7Gi"}}},
        _D,
        f"{FETCH}.resources.requests.ephemeral-storage",
        "7Gi",
    ),
    Row("resources.limits.cpu", {"resources": {"limits": {"cpu": 7}}}, _D, f"{SERVER}.resources.limits.cpu", "7"),
    Row(
        "resources.limits.memory",
        {"resources": {"limits": {"memory": "7Gi"}}},
        _D,
        f"{SERVER}.resources.limits.memory",
        "7Gi",
    ),
    Row(
        "resources.limits.ephemeral-storage",
        {"resources": {"limits": {"ephemeral-storage": "7Gi"}}},
        _D,
        f"{FETCH}.resources.limits.ephemeral-storage",
        "7Gi",
    ),
    Row(
        "accelerator.resource",
        {"accelerator": {"resource": "amd.com/gpu"}},
        _D,
        f"{SERVER}.resources.limits.amd%com/gpu",
        "1",
        GPU,
    ),
    Row("accelerator.resource", {"accelerator": {"resource": "amd.com/gpu"}}, _D, _env("LLMI_DEVICE"), "auto", GPU),
    Row(
        "accelerator.resource",
        {"accelerator": {"resource": "amd.com/gpu"}},
        _D,
        f"{POD}.tolerations[0].key",
        "amd.com/gpu",
        GPU,
    ),
    Row("accelerator.count", {"accelerator": {"count": 2}}, _D, f"{SERVER}.resources.limits.nvidia%com/gpu", "2", GPU),
    Row(
        "accelerator.dra.deviceClassName",
        {"accelerator": {"dra": {"deviceClassName": "b"}}},
        "ResourceClaimTemplate",
        f"{CLAIMED}.deviceClassName",
        "b",
        DRA,
    ),
    Row("accelerator.dra.deviceClassName", DRA, _D, f"{SERVER}.resources.claims[devices].name", "devices"),
    Row(
        "accelerator.dra.count",
        {"accelerator": {"dra": {"deviceClassName": "a", "count": 2}}},
        "ResourceClaimTemplate",
        f"{CLAIMED}.count",
        2,
        DRA,
    ),
    Row(
        "accelerator.dra.selectors",
        {"accelerator": {"dra": {"deviceClassName": "a", "selectors": ["true"]}}},
        "ResourceClaimTemplate",
        f"{CLAIMED}.selectors[0].cel.expression",
        "true",
        DRA,
    ),
    Row(
        "accelerator.products",
        {"accelerator": {"products": ["b", "a"]}},
        _D,
        f"{NODES}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        [{"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["a", "b"]}]}],
        GPU,
    ),
    Row(
        "accelerator.platform",
        {"accelerator": {"products": ["a"], "platform": "gke"}},
        _D,
        f"{NODES}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key",
        "cloud.google.com/gke-accelerator",
        {"accelerator": {"products": ["a"]}},
    ),
    Row(
        "accelerator.platform",
        {"accelerator": {"platform": "aks"}},
        _D,
        f"{POD}.tolerations[1]",
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        GPU,
    ),
    Row(
        "accelerator.spot",
        {"accelerator": {"platform": "gke", "spot": True}},
        _D,
        f"{NODES}.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key",
        "cloud.google.com/gke-spot",
        {"accelerator": {"platform": "gke"}},
    ),
    Row(
        "accelerator.spot",
        {"accelerator": {"platform": "gke", "spot": True}},
        _D,
        f"{POD}.tolerations[1].key",
        "cloud.google.com/gke-spot",
        {"accelerator": {"platform": "gke"}},
    ),
    Row("scheduling.nodeSelector", {"scheduling": {"nodeSelector": {"a": "b"}}}, _D, f"{POD}.nodeSelector.a", "b"),
    Row("scheduling.tolerations.key", _tolerations(key="b"), _D, f"{POD}.tolerations[0].key", "b", _TOLERATED),
    Row(
        "scheduling.tolerations.operator",
        _tolerations(operator="Equal"),
        _D,
        f"{POD}.tolerations[0].operator",
        "Equal",
        _TOLERATED,
    ),
    Row(
        "scheduling.tolerations.value",
        _tolerations(operator="Equal", value="v"),
        _D,
        f"{POD}.tolerations[0].value",
        "v",
        _TOLERATED,
    ),
    Row(
        "scheduling.tolerations.effect",
        _tolerations(effect="NoExecute"),
        _D,
        f"{POD}.tolerations[0].effect",
        "NoExecute",
        _TOLERATED,
    ),
    Row(
        "scheduling.tolerations.tolerationSeconds",
        _tolerations(effect="NoExecute", tolerationSeconds=7),
        _D,
        f"{POD}.tolerations[0].tolerationSeconds",
        7,
        _TOLERATED,
    ),
    Row(
        "scheduling.priorityClassName",
        {"scheduling": {"priorityClassName": "high"}},
        _D,
        f"{POD}.priorityClassName",
        "high",
    ),
    Row(
        "scheduling.runtimeClassName",
        {"scheduling": {"runtimeClassName": "nvidia"}},
        _D,
        f"{POD}.runtimeClassName",
        "nvidia",
    ),
    Row(
        "scheduling.queueName",
        {"scheduling": {"queueName": "gpus"}},
        _D,
        "metadata.labels.kueue%x-k8s%io/queue-name",
        "gpus",
    ),
    Row(
        "scheduling.spread",
        {"scheduling": {"spread": "Required"}},
        _D,
        f"{POD}.topologySpreadConstraints[0].whenUnsatisfiable",
        "DoNotSchedule",
        {"scheduling": {"spread": "Preferred"}},
    ),
    Row(
        "scheduling.spread",
        {"scheduling": {"spread": "Preferred"}},
        _D,
        f"{POD}.topologySpreadConstraints[1].topologyKey",
        "topology.kubernetes.io/zone",
    ),
    Row(
        "scheduling.protectFromDisruption",
        {"scheduling": {"protectFromDisruption": True}},
        _D,
        "spec.template.metadata.annotations.karpenter%sh/do-not-disrupt",
        "true",
    ),
    Row(
        "scheduling.protectFromDisruption",
        {"scheduling": {"protectFromDisruption": True}},
        _D,
        "spec.template.metadata.annotations.cluster-autoscaler%kubernetes%io/safe-to-evict",
        "false",
    ),
    Row("service.type", {"service": {"type": "NodePort"}}, "Service", "spec.type", "NodePort"),
    Row("service.port", {"service": {"port": 81}}, "Service", "spec.ports[http].port", 81),
    Row("service.annotations", {"service": {"annotations": {"a": "b"}}}, "Service", "metadata.annotations.a", "b"),
    Row("service.loadBalancerClass", _CLASS, "Service", "spec.loadBalancerClass", "a/b", BALANCED),
    Row(
        "service.loadBalancerSourceRanges",
        _RANGES,
        "Service",
        "spec.loadBalancerSourceRanges",
        ["10.0.0.0/8"],
        BALANCED,
    ),
    Row("access.apiKeySecret.name", _KEY, _D, f"{POD}.volumes[api-key].secret.secretName", "keys"),
    Row("access.apiKeySecret.name", _KEY, _D, _env("LLMI_API_KEY_FILE"), "/var/run/secrets/llmi/api-key/api-key"),
    Row(
        "access.apiKeySecret.key",
        {"access": {"apiKeySecret": {"name": "keys", "key": "k"}}},
        _D,
        f"{POD}.volumes[api-key].secret.items[0].key",
        "k",
        _KEY,
    ),
    Row(
        "access.allowFrom.podLabels",
        _allow(podLabels={"app": "a"}),
        "NetworkPolicy",
        "spec.ingress[0].from[0]",
        {"podSelector": {"matchLabels": {"app": "a"}}},
    ),
    Row(
        "access.allowFrom.namespaceLabels",
        _allow(namespaceLabels={}),
        "NetworkPolicy",
        "spec.ingress[0].from[0]",
        {"namespaceSelector": {}},
    ),
    Row(
        "access.allowFrom.cidr",
        _allow(cidr="10.0.0.0/8"),
        "NetworkPolicy",
        "spec.ingress[0].from[0]",
        {"ipBlock": {"cidr": "10.0.0.0/8"}},
    ),
    Row("rollout.mode", {"rollout": {"mode": "Replace"}}, _D, "spec.strategy.rollingUpdate.maxUnavailable", 1),
    Row("rollout.mode", {"rollout": {"mode": "Replace"}}, _D, "spec.strategy.rollingUpdate.maxSurge", 0),
    Row("rollout.drainSeconds", {"rollout": {"drainSeconds": 7}}, _D, _env("LLMI_DRAIN_SECONDS"), "7"),
    Row("rollout.drainSeconds", {"rollout": {"drainSeconds": 7}}, _D, f"{POD}.terminationGracePeriodSeconds", 22),
    Row(
        "rollout.startupTimeoutSeconds",
        {"rollout": {"startupTimeoutSeconds": 50}},
        _D,
        f"{SERVER}.startupProbe.failureThreshold",
        10,
    ),
    Row(
        "rollout.startupTimeoutSeconds",
        {"rollout": {"startupTimeoutSeconds": 50}},
        _D,
        "spec.progressDeadlineSeconds",
        110,
    ),
    Row("verify.input", _VERIFIED, _D, _env("LLMI_VERIFY"), _ASKED),
    Row("verify.expect", _VERIFIED, _D, _env("LLMI_VERIFY"), _ASKED, _OTHERWISE),
    Row("observability.metrics.podMonitor", MONITORED, "PodMonitor", "spec.podMetricsEndpoints[0].path", "/metrics"),
    Row("observability.metrics.labels", _LABELLED, "PodMonitor", "metadata.labels.release", "p", MONITORED),
    Row("observability.logs.level", _DEBUG, _D, _env("LLMI_LOG_LEVEL"), "debug"),
    Row("observability.logs.level", _DEBUG, _D, _env("LLMI_LOG_LEVEL", FETCH), "debug"),
]  # fmt: skip

ELSEWHERE = {
    "paused": ("tests/operator/test_reconcile_children.py", "test_while_paused_no_child_is_touched_and_status_goes_on"),
    "budget.perHour": (
        "tests/operator/test_reconcile_children.py",
        "test_a_budget_holds_the_replicas_at_what_it_pays_for",
    ),
}
"""Fields that no child shows, and the test that holds them to their word."""
