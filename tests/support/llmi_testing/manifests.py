"""Manifests of LLMInference that the API server must accept or refuse, and what it must say.

The same table is judged by a real kube-apiserver (tests/apiserver) and, where a rule exists on both sides, by the
Python types (tests/api).
"""

from dataclasses import dataclass
from typing import Any

from llmi_api import labels
from llmi_api.v1alpha1.placement import DRA_INSTEAD, PRODUCTS_NEED_LABEL, SPOT_NEEDS_PLATFORM
from llmi_api.v1alpha1.spec import APART_ON_ONE_NODE

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


def cached(**cache: Any) -> dict[str, Any]:
    """A spec with a cache."""
    return spec(model={**MODEL, "cache": cache})


def vllm(task: str, **fields: Any) -> dict[str, Any]:
    """A spec that is served by vLLM."""
    return spec(task=task, engine={"name": "vllm", **fields})


def triton(task: str, **fields: Any) -> dict[str, Any]:
    """A spec that is served by Triton."""
    return spec(task=task, engine={"name": "triton", **fields})


def custom(**fields: Any) -> dict[str, Any]:
    """A spec that is served by a program of one's own."""
    return spec(engine={"name": "custom", **fields})


def engine(**fields: Any) -> dict[str, Any]:
    """A spec with fields of the engine."""
    return spec(engine=fields)


def allow(*peers: Any) -> dict[str, Any]:
    """A spec that says who may call."""
    return spec(access={"allowFrom": list(peers)})


def balancer(**service: Any) -> dict[str, Any]:
    """A spec with a load balancer."""
    return spec(service={"type": "LoadBalancer", **service})


def zero(**wake_up: Any) -> dict[str, Any]:
    """An autoscaler that takes the last replica away."""
    return {"minReplicas": 0, "maxReplicas": 2, "backend": "keda", "wakeUp": wake_up}


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
    ("an autoscaler by the queue alone", manifest(spec(autoscaling={"maxReplicas": 3, "targets": {"inFlightPerReplica": 10}}))),
    ("an autoscaler of KEDA's", manifest(spec(autoscaling={"maxReplicas": 3, "backend": "keda"}))),
    ("down to zero, until a query tells of requests", manifest(spec(autoscaling=zero(prometheus={"serverAddress": "http://p.monitoring:9090", "query": "sum(x) > 0"})))),
    ("down to zero, until a request comes", manifest(spec(autoscaling=zero(httpAddOn={"interceptorRoute": "bert"})))),
    ("an autoscaler with only a maximum", manifest(spec(autoscaling={"maxReplicas": 3}))),
    ("memory that no node has", manifest(spec(resources={"requests": {"memory": "465458732Gi"}}))),
    ("quantities as numbers", manifest(spec(resources={"requests": {"cpu": 1}, "limits": {"cpu": 2}}))),
    (
        "equal requests and limits in other words",
        manifest(spec(resources={"requests": {"cpu": "1000m"}, "limits": {"cpu": 1}})),
    ),
    ("a slice of a GPU", manifest(spec(accelerator={"resource": "nvidia.com/mig-1g.10gb"}))),
    ("one of two products, on spot nodes if there are", manifest(spec(accelerator={"products": ["nvidia-l4", "nvidia-tesla-t4"], "platform": "gke", "spot": True}))),
    ("a TPU by its product", manifest(spec(accelerator={"resource": "google.com/tpu", "products": ["tpu-v5-lite-podslice"]}))),
    ("devices by DRA", manifest(spec(accelerator={"dra": {"deviceClassName": "gpu.nvidia.com", "count": 2, "selectors": ["device.driver == 'gpu.nvidia.com'"]}, "platform": "gke", "spot": True}))),
    ("the longest name", manifest(SMALLEST, name="b" * 46)),
    ("a toleration of everything", manifest(spec(scheduling={"tolerations": [{"operator": "Exists"}]}))),
    ("a cache of ours", manifest(cached(size="20Gi", storageClass="fast", accessMode="ReadWriteMany", retention="Retain"))),
    ("a cache whose size is a number", manifest(cached(size=21474836480))),
    ("a cache of yours", manifest(cached(claim="models"))),
    ("a variable that nothing reserves", manifest(engine(env=[{"name": "TOKENIZERS_PARALLELISM", "value": "false"}]))),
    ("a variable without a value", manifest(engine(env=[{"name": "EMPTY"}]))),
    ("pull secrets", manifest(engine(imagePullSecrets=["registry", "registry.example.com"]))),
    ("vLLM", manifest(vllm("text-generation"))),
    ("vLLM with arguments and both limits", manifest({**vllm("text-generation", args=["--max-num-seqs=64", "--enforce-eager"]), "limits": {"maxInputTokens": 100, "maxOutputTokens": 28}})),
    ("vLLM with a model that is no generator", manifest({**vllm("rerank", precision="float16"), "limits": {"maxInputTokens": 100}})),
    ("Triton", manifest(triton("embeddings", precision="int8"))),
    ("Triton by requests in flight", manifest({**triton("embeddings"), "autoscaling": {"maxReplicas": 2, "targets": {"inFlightPerReplica": 4}}})),
    ("a program of one's own", manifest(custom(image="corp/program:1"))),
    ("a program of one's own with everything", manifest(custom(image="corp/program:1", command=["a"], args=["--port=1"], port=9000, healthPath="/up"))),
    ("nobody but the operator", manifest(allow())),
    ("callers by pods, by namespaces, by both", manifest(allow({"podLabels": {"app": "a"}}, {"namespaceLabels": {}}, {"podLabels": {}, "namespaceLabels": {"a": "b"}}))),
    ("callers by address", manifest(allow({"cidr": "10.0.0.0/8"}, {"cidr": "2001:db8::/32"}))),
    ("a load balancer with everything", manifest(balancer(loadBalancerClass="service.k8s.aws/nlb", loadBalancerSourceRanges=["10.0.0.0/8"], annotations={"a.example.com/b": "c"}))),
    ("a known answer", manifest(spec(verify=[{"input": "Paris is in [MASK].", "expect": "france"}]))),
    ("a PodMonitor with labels", manifest(spec(observability={"metrics": {"podMonitor": True, "labels": {"release": "p"}}, "logs": {"level": "debug"}}))),
    ("a place that is spread, queued, protected and run otherwise", manifest(spec(scheduling={"spread": "Required", "queueName": "gpus", "protectFromDisruption": True, "runtimeClassName": "nvidia"}))),
    ("replicas apart with a cache for many nodes", manifest({**cached(size="20Gi", accessMode="ReadWriteMany"), "scheduling": {"spread": "Required"}})),
    ("a priority and a pause", manifest(spec(scheduling={"priorityClassName": "high"}, paused=True))),
]  # fmt: skip

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
    Refused("an autoscaler below zero", manifest(spec(autoscaling={"minReplicas": -1, "maxReplicas": 2})), ("spec.autoscaling.minReplicas",)),
    Refused("an autoscaler down to zero", manifest(spec(autoscaling={"minReplicas": 0, "maxReplicas": 2})), ("spec.autoscaling", "needs autoscaling.backend keda and autoscaling.wakeUp")),
    Refused("down to zero without what wakes", manifest(spec(autoscaling={"minReplicas": 0, "maxReplicas": 2, "backend": "keda"})), ("spec.autoscaling", "needs autoscaling.backend keda and autoscaling.wakeUp")),
    Refused("down to zero without KEDA", manifest(spec(autoscaling={**zero(httpAddOn={"interceptorRoute": "bert"}), "backend": "hpa"})), ("spec.autoscaling", "needs autoscaling.backend keda and autoscaling.wakeUp")),
    Refused("what wakes where there is always a replica", manifest(spec(autoscaling={**zero(httpAddOn={"interceptorRoute": "bert"}), "minReplicas": 1})), ("spec.autoscaling", "goes with autoscaling.minReplicas 0 only")),
    Refused("two ways to wake", manifest(spec(autoscaling=zero(httpAddOn={"interceptorRoute": "bert"}, prometheus={"serverAddress": "http://p", "query": "q"}))), ("spec.autoscaling.wakeUp", "exactly one of")),
    Refused("no way to wake", manifest(spec(autoscaling=zero())), ("spec.autoscaling.wakeUp", "exactly one of")),
    Refused("a Prometheus that is no address", manifest(spec(autoscaling=zero(prometheus={"serverAddress": "prometheus:9090", "query": "q"}))), ("spec.autoscaling.wakeUp.prometheus.serverAddress",)),
    Refused("an autoscaler that nobody knows", manifest(spec(autoscaling={"maxReplicas": 2, "backend": "knative"})), ("spec.autoscaling.backend",)),
    Refused("an empty autoscaler", manifest(spec(autoscaling={})), ("spec.autoscaling.maxReplicas", "Required value")),
    Refused("an autoscaler without a target", manifest(spec(autoscaling={"maxReplicas": 2, "targets": {}})), ("spec.autoscaling.targets", "needs cpuPercent, memoryPercent or inFlightPerReplica")),
    Refused("a target of nothing", manifest(spec(autoscaling={"maxReplicas": 2, "targets": {"cpuPercent": 0}})), ("spec.autoscaling.targets.cpuPercent",)),
    Refused("a target of no requests", manifest(spec(autoscaling={"maxReplicas": 2, "targets": {"inFlightPerReplica": 0}})), ("spec.autoscaling.targets.inFlightPerReplica",)),
    Refused("a quantity with a wrong unit", manifest(spec(resources={"limits": {"memory": "10GB!"}})), ("spec.resources.limits.memory", QUANTITY), by_types=False),
    Refused("a negative quantity", manifest(spec(resources={"limits": {"memory": "-1Gi"}})), ("spec.resources.limits.memory", QUANTITY), by_types=False),
    Refused("no memory", manifest(spec(resources={"limits": {"memory": 0}})), ("spec.resources.limits.memory", QUANTITY), by_types=False),
    Refused("a request above the limit", manifest(spec(resources={"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}})), ("spec.resources", "resources.requests.cpu must not be above resources.limits.cpu"), by_types=False),
    Refused("a disk request above the limit", manifest(spec(resources={"requests": {"ephemeral-storage": "2Gi"}, "limits": {"ephemeral-storage": "1Gi"}})), ("spec.resources", "ephemeral-storage must not be above"), by_types=False),
    Refused("no GPU at all", manifest(spec(accelerator={"count": 0})), ("spec.accelerator.count",)),
    Refused("a resource that is no device", manifest(spec(accelerator={"resource": "cpu"})), ("spec.accelerator.resource",)),
    Refused("a resource without a name", manifest(spec(accelerator={"resource": "nvidia.com/gpu/"})), ("spec.accelerator.resource",)),
    Refused("devices by DRA and by resource", manifest(spec(accelerator={"resource": "amd.com/gpu", "dra": {"deviceClassName": "gpu.amd.com"}})), ("spec.accelerator", DRA_INSTEAD)),
    Refused("devices by DRA and a count beside", manifest(spec(accelerator={"count": 2, "dra": {"deviceClassName": "gpu.nvidia.com"}})), ("spec.accelerator", DRA_INSTEAD)),
    Refused("devices of no class", manifest(spec(accelerator={"dra": {"count": 1}})), ("spec.accelerator.dra.deviceClassName", "Required value")),
    Refused("no product at all", manifest(spec(accelerator={"products": []})), ("spec.accelerator.products",)),
    Refused("a product with a space", manifest(spec(accelerator={"products": ["NVIDIA L4"]})), ("spec.accelerator.products[0]",), by_types=False),
    Refused("a product of a vendor that labels no nodes", manifest(spec(accelerator={"resource": "habana.ai/gaudi", "products": ["gaudi2"]})), ("spec.accelerator", PRODUCTS_NEED_LABEL)),
    Refused("spot nodes of nobody", manifest(spec(accelerator={"spot": True})), ("spec.accelerator", SPOT_NEEDS_PLATFORM)),
    Refused("a platform that is none", manifest(spec(accelerator={"platform": "openshift"})), ("spec.accelerator.platform",)),
    Refused("a label value of 64 characters", manifest(spec(scheduling={"nodeSelector": {"pool": "x" * 64}})), ("spec.scheduling.nodeSelector.pool",), by_types=False),
    Refused("a misspelt taint effect", manifest(spec(scheduling={"tolerations": [{"key": "a", "effect": "NoSchedul"}]})), ("spec.scheduling.tolerations[0].effect", "Unsupported value")),
    Refused("a Service of no such type", manifest(spec(service={"type": "ExternalName"})), ("spec.service.type", "Unsupported value")),
    Refused("port 0", manifest(spec(service={"port": 0})), ("spec.service.port",)),
    Refused("port 65536", manifest(spec(service={"port": 65536})), ("spec.service.port",)),
    Refused("a day and a second to start", manifest(spec(rollout={"startupTimeoutSeconds": 86401})), ("spec.rollout.startupTimeoutSeconds",)),
    Refused("a rollout by a mode that there is not", manifest(spec(rollout={"mode": "Recreate"})), ("spec.rollout.mode",)),
    Refused("a day to drain", manifest(spec(rollout={"drainSeconds": 86400})), ("spec.rollout.drainSeconds",)),
    Refused("a name that is too long", manifest(SMALLEST, name="b" * 47), (NAME_RULE,), by_types=False),
    Refused("a name with a dot", manifest(SMALLEST, name="bert.large"), (NAME_RULE,), by_types=False),
    Refused("a name that begins with a digit", manifest(SMALLEST, name="1bert"), (NAME_RULE,), by_types=False),
    Refused("an empty cache", manifest(cached()), ("spec.model.cache", "exactly one of model.cache.claim and model.cache.size")),
    Refused("a cache of yours and of ours", manifest(cached(claim="c", size="1Gi")), ("spec.model.cache", "exactly one of model.cache.claim and model.cache.size")),
    Refused("a class for a claim of yours", manifest(cached(claim="c", storageClass="fast")), ("spec.model.cache", "go with model.cache.size only")),
    Refused("retention of a claim of yours", manifest(cached(claim="c", retention="Retain")), ("spec.model.cache", "go with model.cache.size only")),
    Refused("an access mode of a claim of yours", manifest(cached(claim="c", accessMode="ReadWriteMany")), ("spec.model.cache", "go with model.cache.size only")),
    Refused("an unknown retention", manifest(cached(size="1Gi", retention="Keep")), ("spec.model.cache.retention", "Unsupported value")),
    Refused("an access mode that only reads", manifest(cached(size="1Gi", accessMode="ReadOnlyMany")), ("spec.model.cache.accessMode", "Unsupported value")),
    Refused("a cache of nothing", manifest(cached(size=0)), ("spec.model.cache.size", QUANTITY), by_types=False),
    Refused("a cache for a claim", manifest(spec(model={"claim": {"name": "c"}, "cache": {"size": "1Gi"}})), ("spec.model", "go with model.id only")),
    *(
        Refused(f"the variable {name}", manifest(engine(env=[{"name": name, "value": "x"}])), ("spec.engine.env[0]", "must not set proxies"))
        for name in ("LD_PRELOAD", "PYTHONPATH", "NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "HF_ENDPOINT", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "TORCH_HOME", "LLMI_PORT", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "HTTPS_PROXY", "http_proxy", "No_Proxy")
    ),
    Refused("an engine that there is not", manifest(engine(name="vlm")), ("spec.engine.name", "Unsupported value")),
    Refused("a task that vLLM cannot do", manifest(vllm("fill-mask")), ("engine.name vllm does text-generation, embeddings, text-classification and rerank only. For other tasks set engine.name transformers.",)),
    Refused("a precision that vLLM has not", manifest(vllm("embeddings", precision="int8")), ("engine.name vllm computes in engine.precision auto, bfloat16, float16 and float32 only",)),
    Refused("questions to vLLM", manifest({**vllm("text-generation"), "verify": [{"input": "a", "expect": "b"}]}), ("verify does not go with engine.name vllm: leave it out, or set engine.name transformers or triton.",)),
    Refused("long inputs of vLLM", manifest({**vllm("embeddings"), "limits": {"longInputs": "truncate"}}), ("limits.longInputs does not go with engine.name vllm",)),
    Refused("a limit on what vLLM reads alone", manifest({**vllm("text-generation"), "limits": {"maxInputTokens": 9}}), ("limits.maxInputTokens without limits.maxOutputTokens",)),
    Refused("arguments for our own server", manifest(engine(args=["--x"])), ("engine.args does not go with engine.name transformers",)),
    *(
        Refused(f"the argument {flag}", manifest(vllm("text-generation", args=[flag])), ("spec.engine", "engine.args must not set"))
        for flag in ("--port=1", "--host", "--api-key", "--api_key=x", "--trust-remote-code", "--ssl-keyfile=x", "--served_model_name")
    ),
    Refused("a task that Triton cannot do", manifest(triton("text-generation")), ("engine.name triton does", "For other tasks set engine.name transformers.")),
    Refused("keys for Triton", manifest({**triton("embeddings"), "access": {"apiKeySecret": {"name": "a", "key": "b"}}}), ("access.apiKeySecret does not go with engine.name triton: leave it out, or set engine.name transformers or vllm.",)),
    *(
        Refused(
            f"KEDA for requests in flight of {name}",
            manifest({**fields, "autoscaling": {"maxReplicas": 2, "backend": "keda", "targets": {"inFlightPerReplica": 4}}}),
            (f"with autoscaling.backend keda does not go with engine.name {name}: leave it out, or set engine.name transformers.",),
        )
        for name, fields in (("vllm", vllm("embeddings")), ("triton", triton("embeddings")))
    ),
    Refused("arguments for Triton", manifest(triton("embeddings", args=["--x"])), ("engine.args does not go with engine.name transformers or triton",)),
    Refused("a program of one's own without an image", manifest(custom()), ("engine.name custom needs engine.image",)),
    *(
        Refused(f"{name} for vLLM", manifest(vllm("embeddings", **{name: value})), ("go with engine.name custom only",))
        for name, value in (("command", ["a"]), ("port", 9000), ("healthPath", "/up"))
    ),
    Refused("a health path that is none", manifest(custom(image="a", healthPath="up")), ("spec.engine.healthPath",)),
    *(
        Refused(f"{words} of a program of one's own", manifest({**custom(image="a"), **fields}), (f"{words} does not go with engine.name custom",))
        for words, fields in (
            ("limits", {"limits": {"maxQueuedRequests": 3}}),
            ("access.apiKeySecret", {"access": {"apiKeySecret": {"name": "keys"}}}),
            ("autoscaling.targets.inFlightPerReplica", {"autoscaling": {"maxReplicas": 2, "targets": {"inFlightPerReplica": 3}}}),
        )
    ),
    Refused("a precision of a program of one's own", manifest(custom(image="a", precision="float32")), ("engine.name custom computes in engine.precision auto only",)),
    Refused("an empty argument", manifest(vllm("text-generation", args=[""])), ("spec.engine.args[0]",), by_types=False),
    Refused("a variable that is no name", manifest(engine(env=[{"name": "A-B"}])), ("spec.engine.env[0].name",)),
    Refused("a variable twice", manifest(engine(env=[{"name": "A"}, {"name": "A"}])), ("spec.engine.env[1]", "Duplicate value"), by_types=False),
    Refused("a variable from elsewhere", manifest(engine(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])), ('unknown field "spec.engine.env[0].valueFrom"',), by_types=False),
    Refused("a pull secret with a slash", manifest(engine(imagePullSecrets=["a/b"])), ("spec.engine.imagePullSecrets[0]",), by_types=False),
    Refused("a caller of no kind", manifest(allow({})), ("spec.access.allowFrom[0]", "needs cidr, or podLabels, namespaceLabels or both")),
    Refused("a caller by address and labels", manifest(allow({"cidr": "10.0.0.0/8", "podLabels": {}})), ("spec.access.allowFrom[0]", "needs cidr, or podLabels, namespaceLabels or both")),
    Refused("an address without a length", manifest(allow({"cidr": "10.0.0.1"})), ("spec.access.allowFrom[0].cidr", "must be an address range"), by_types=False),
    Refused("a class without a load balancer", manifest(spec(service={"loadBalancerClass": "a/b"})), ("spec.service", "go with service.type LoadBalancer only")),
    Refused("ranges without a load balancer", manifest(spec(service={"type": "NodePort", "loadBalancerSourceRanges": ["10.0.0.0/8"]})), ("spec.service", "go with service.type LoadBalancer only")),
    Refused("a range that is none", manifest(balancer(loadBalancerSourceRanges=["everywhere"])), ("spec.service.loadBalancerSourceRanges[0]", "must be an address range"), by_types=False),
    Refused("an annotation of the operator's", manifest(spec(service={"annotations": {"llminference.dev/plan-hash": "x"}})), ("spec.service", "must not begin with llminference.dev/")),
    Refused("a known answer of a vector", manifest(spec(task="embeddings", verify=[{"input": "a", "expect": "b"}])), ("spec", "verify does not go with task embeddings")),
    Refused("windows of a task other than embeddings", manifest(spec(limits={"longInputs": "window"})), ("spec", "window goes with task embeddings only")),
    Refused("cut prompts", manifest(spec(task="text-generation", limits={"longInputs": "truncate"})), ("spec", "truncate not with text-generation")),
    Refused("a longest answer of a task without length", manifest(spec(limits={"maxOutputTokens": 9})), ("spec", "goes with task text-generation only")),
    Refused("no known answers", manifest(spec(verify=[])), ("spec.verify",)),
    Refused("a question without an answer", manifest(spec(verify=[{"input": "a", "expect": ""}])), ("spec.verify[0].expect",)),
    Refused("an unknown log level", manifest(spec(observability={"logs": {"level": "loud"}})), ("spec.observability.logs.level", "Unsupported value")),
    Refused("a runtime class with capitals", manifest(spec(scheduling={"runtimeClassName": "NVIDIA"})), ("spec.scheduling.runtimeClassName",)),
    Refused("a queue with a dot", manifest(spec(scheduling={"queueName": "a.b"})), ("spec.scheduling.queueName",)),
    Refused("a spread that is none", manifest(spec(scheduling={"spread": "Zone"})), ("spec.scheduling.spread",)),
    Refused("replicas apart with a cache on one node", manifest({**cached(size="20Gi"), "scheduling": {"spread": "Required"}}), ("spec", APART_ON_ONE_NODE)),
    Refused("a priority with capitals", manifest(spec(scheduling={"priorityClassName": "High"})), ("spec.scheduling.priorityClassName",)),
]  # fmt: skip


@dataclass(frozen=True)
class Change:
    """An edit of a stored resource, and what the API server says to it; nothing when it accepts it.

    Only it can judge these: the types see one spec at a time.
    """

    case: str
    old: dict[str, Any]
    new: dict[str, Any]
    says: tuple[str, ...] = ()


FIXED_CLASS = ("spec.model.cache", "storageClass and accessMode cannot be changed")
NO_SHRINKING = ("spec.model.cache", "size cannot be lowered")
FIXED_BALANCER = ("spec.service", "loadBalancerClass cannot be changed")

CHANGES: list[Change] = [
    Change("a larger cache", cached(size="1Gi"), cached(size="2Gi")),
    Change("the same cache in other words", cached(size="1Gi"), cached(size="1024Mi")),
    Change("a smaller cache", cached(size="2Gi"), cached(size="1Gi"), NO_SHRINKING),
    Change("a smaller cache in a larger number", cached(size="1Gi"), cached(size=1073741823), NO_SHRINKING),
    Change("another class", cached(size="1Gi", storageClass="a"), cached(size="1Gi", storageClass="b"), FIXED_CLASS),
    Change("a class that was not given", cached(size="1Gi"), cached(size="1Gi", storageClass="b"), FIXED_CLASS),
    Change("a class that is taken away", cached(size="1Gi", storageClass="a"), cached(size="1Gi"), FIXED_CLASS),
    Change("another access mode", cached(size="1Gi"), cached(size="1Gi", accessMode="ReadWriteMany"), FIXED_CLASS),
    Change("another retention", cached(size="1Gi"), cached(size="1Gi", retention="Retain")),
    Change("a claim of yours in place of ours", cached(size="1Gi", storageClass="a"), cached(claim="c")),
    Change("ours in place of a claim of yours", cached(claim="c"), cached(size="1Gi", storageClass="a")),
    Change("no cache any more", cached(size="1Gi", storageClass="a"), SMALLEST),
    Change("a cache at last", SMALLEST, cached(size="1Gi", storageClass="a")),
    Change("another balancer", balancer(loadBalancerClass="a/b"), balancer(loadBalancerClass="a/c"), FIXED_BALANCER),
    Change("a balancer that was not given", balancer(), balancer(loadBalancerClass="a/b"), FIXED_BALANCER),
    Change("a balancer that is taken away", balancer(loadBalancerClass="a/b"), balancer(), FIXED_BALANCER),
    Change("no balancer any more", balancer(loadBalancerClass="a/b"), SMALLEST),
    Change("a balancer at last", SMALLEST, balancer(loadBalancerClass="a/b")),
    Change("another model", SMALLEST, spec(model={"claim": {"name": "c"}})),
    Change("another task", SMALLEST, spec(task="embeddings")),
    Change(
        "KEDA in place of an autoscaler",
        spec(autoscaling={"maxReplicas": 3}),
        spec(autoscaling={"maxReplicas": 3, "backend": "keda"}),
    ),
    Change("an autoscaler in place of replicas", spec(replicas=2), spec(autoscaling={"maxReplicas": 3})),
]
