"""The pod: the container that downloads, the container that serves, and what both may do."""

from typing import Any

from llmi_api.launch import (
    API_KEY_DIR,
    ENVIRONMENT_PREFIX,
    HTTP_PORT,
    SERVER_UID,
    LongInputs,
    ServeLaunch,
    VerifyQuestion,
)
from llmi_operator.parse import Resource
from llmi_operator.plan import timing
from llmi_operator.plan.accelerator import choose_device
from llmi_operator.plan.device_claim import add_claim
from llmi_operator.plan.model import ModelFiles, build_secret_volume, plan_model_files
from llmi_operator.plan.names import (
    FETCH_CONTAINER,
    HTTP_PORT_NAME,
    METRICS_PATH,
    SERVER_CONTAINER,
    make_labels,
    make_pin_name,
)
from llmi_operator.plan.pin import make_pin_key, needs_pin
from llmi_operator.plan.placement import add_placement, make_disruption_annotations
from llmi_operator.plan.resources import build_resources
from llmi_operator.settings import ServerDefaults

SCRATCH_VOLUME = "tmp"
SCRATCH_SIZE = "1Gi"
API_KEY_VOLUME = "api-key"
API_KEY_FILE = "api-key"
# The files are complete when the server starts: a library that wants to download then is a fault.
PIN_VARIABLE = f"{ENVIRONMENT_PREFIX}MODEL_COMMIT"
SCRAPE_ANNOTATIONS = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(HTTP_PORT),
    "prometheus.io/path": METRICS_PATH,
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": "/tmp/huggingface"}  # noqa: S108 - own volume


def build_pod_template(resource: Resource, defaults: ServerDefaults) -> dict[str, Any]:
    """Build the pod. It changes only with the owner's intent or the operator's settings: a change is a rollout."""
    spec = resource.spec
    files = plan_model_files(resource)
    pod: dict[str, Any] = {
        "serviceAccountName": resource.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": timing.compute_grace_seconds(spec.rollout.drain_seconds),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": SERVER_UID,
            "runAsGroup": SERVER_UID,
            "fsGroup": SERVER_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_build_server(resource, defaults, files)],
        "volumes": [*files.volumes, {"name": SCRATCH_VOLUME, "emptyDir": {"sizeLimit": SCRATCH_SIZE}}],
    }
    if files.fetch is not None:
        pod["initContainers"] = [_build_fetch(resource, defaults, files)]
    if spec.access and spec.access.api_key_secret:
        pod["volumes"].append(build_secret_volume(API_KEY_VOLUME, spec.access.api_key_secret, API_KEY_FILE))
    if spec.engine.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.engine.image_pull_secrets]
    add_placement(pod, resource)
    add_claim(pod, pod["containers"][0], resource)
    annotations = {**SCRAPE_ANNOTATIONS, **make_disruption_annotations(resource)}
    return {"metadata": {"labels": make_labels(resource), "annotations": annotations}, "spec": pod}


def choose_image(resource: Resource, defaults: ServerDefaults) -> str:
    """Image of the model server."""
    return resource.spec.engine.image or defaults.image


def _build_server(resource: Resource, defaults: ServerDefaults, files: ModelFiles) -> dict[str, Any]:
    spec = resource.spec
    key = spec.access.api_key_secret if spec.access else None
    launch = ServeLaunch(
        log_level=spec.observability.logs.level,
        model_name=spec.model.id or resource.name,
        task=spec.task,
        precision=spec.engine.precision,
        device=choose_device(spec.accelerator),
        max_input_tokens=spec.limits.max_input_tokens,
        # Left out where it changes nothing, so that servers that do not know it go on.
        long_inputs=None if spec.limits.long_inputs is LongInputs.REFUSE else spec.limits.long_inputs,
        max_output_tokens=spec.limits.max_output_tokens,
        max_batch_tokens=spec.limits.max_batch_tokens,
        max_queued_requests=spec.limits.max_queued_requests,
        request_timeout_seconds=spec.limits.request_timeout_seconds,
        drain_seconds=spec.rollout.drain_seconds,
        api_key_file=API_KEY_DIR / API_KEY_FILE if key else None,
        verify=tuple(VerifyQuestion(input=pair.input, expect=pair.expect) for pair in spec.verify or ()),
    )
    mounts = list(files.mounts)
    chosen = {variable.name: variable.value for variable in spec.engine.env or ()}
    if key:
        mounts.append({"name": API_KEY_VOLUME, "mountPath": str(API_KEY_DIR), "readOnly": True})
    container = _build_container(
        name=SERVER_CONTAINER, args=["serve"], image=choose_image(resource, defaults), defaults=defaults,
        environment={**chosen, **launch.to_environment(), **OFFLINE}, mounts=mounts,
    )  # fmt: skip
    return container | {
        "resources": build_resources(
            spec.resources, defaults, downloads=_fills_the_node(files, resource), accelerator=spec.accelerator
        ),
        "ports": [{"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT, "protocol": "TCP"}],
        "lifecycle": {"preStop": {"sleep": {"seconds": timing.PRE_STOP_SECONDS}}},
        "startupProbe": _build_probe(
            "/readyz",
            period=timing.STARTUP_PERIOD_SECONDS,
            timeout=2,
            failures=timing.compute_startup_failures(spec.rollout.startup_timeout_seconds),
        ),
        "readinessProbe": _build_probe(
            "/readyz", period=timing.READINESS_PERIOD_SECONDS, timeout=2, failures=timing.READINESS_FAILURES
        ),
        "livenessProbe": _build_probe(
            "/livez", period=timing.LIVENESS_PERIOD_SECONDS, timeout=10, failures=timing.LIVENESS_FAILURES
        ),
    }


def _build_fetch(resource: Resource, defaults: ServerDefaults, files: ModelFiles) -> dict[str, Any]:
    container = _build_container(
        name=FETCH_CONTAINER, args=["fetch"], image=choose_image(resource, defaults), defaults=defaults,
        environment=files.fetch.to_environment() if files.fetch else {}, mounts=files.fetch_mounts,
    )  # fmt: skip
    if needs_pin(resource.spec.model):
        pin = {"name": make_pin_name(resource), "key": make_pin_key(resource.spec.model), "optional": True}
        container["env"].append({"name": PIN_VARIABLE, "valueFrom": {"configMapKeyRef": pin}})
    downloads = _fills_the_node(files, resource)
    # The same amounts as the server: a pod needs the larger of both, so they cost nothing.
    return container | {
        "resources": build_resources(resource.spec.resources, defaults, downloads=downloads, accelerator=None)
    }


def _fills_the_node(files: ModelFiles, resource: Resource) -> bool:
    return files.fetch is not None and resource.spec.model.cache is None


def _build_container(
    *,
    name: str,
    args: list[str],
    image: str,
    defaults: ServerDefaults,
    environment: dict[str, str],
    mounts: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": defaults.image_pull_policy,
        "args": args,
        # The kubelet expands $(NAME); a doubled sign stands for itself.
        "env": [{"name": key, "value": value.replace("$", "$$")} for key, value in sorted(environment.items())],
        "volumeMounts": [*mounts, {"name": SCRATCH_VOLUME, "mountPath": "/tmp"}],  # noqa: S108 - own volume
        # The failure report is written to the file; without one, the last log lines say what happened.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _build_probe(path: str, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT_NAME, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }
