"""The pod: the container that downloads, the container that serves, and what both may do."""

from typing import Any

from llmi_api.launch import API_KEY_DIR, ENVIRONMENT_PREFIX, SERVER_UID, EngineName
from llmi_operator.parse import Resource
from llmi_operator.plan import timing
from llmi_operator.plan.accelerator import choose_hardware
from llmi_operator.plan.device_claim import add_claim
from llmi_operator.plan.engine_files import add_engine_files
from llmi_operator.plan.engines import find_command, find_engine, find_metrics_port, find_port, find_probes
from llmi_operator.plan.model import ModelFiles, build_secret_volume, plan_model_files
from llmi_operator.plan.names import (
    API_KEY_FILE,
    FETCH_CONTAINER,
    HTTP_PORT_NAME,
    METRICS_PATH,
    METRICS_PORT_NAME,
    SCRAPE_PORT_ANNOTATION,
    SERVER_CONTAINER,
    make_labels,
    make_pin_name,
)
from llmi_operator.plan.pin import make_pin_key, needs_pin
from llmi_operator.plan.placement import add_placement, make_disruption_annotations
from llmi_operator.plan.resources import build_resources
from llmi_operator.settings import SERVER_IMAGE, ServerDefaults

SCRATCH_VOLUME = "tmp"
SHARED_MEMORY_VOLUME = "shared-memory"
API_KEY_VOLUME = "api-key"
# The files are complete when the server starts: a library that wants to download then is a fault.
PIN_VARIABLE = f"{ENVIRONMENT_PREFIX}MODEL_COMMIT"
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
        "volumes": _build_volumes(resource, files),
    }
    if files.fetch is not None:
        pod["initContainers"] = [_build_fetch(resource, defaults, files)]
    if spec.engine.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.engine.image_pull_secrets]
    add_placement(pod, resource)
    add_claim(pod, pod["containers"][0], resource)
    add_engine_files(pod, pod["containers"][0], resource)
    annotations = {**_make_scrape_annotations(resource), **make_disruption_annotations(resource)}
    return {"metadata": {"labels": make_labels(resource), "annotations": annotations}, "spec": pod}


def choose_image(resource: Resource, defaults: ServerDefaults, container: str = SERVER_CONTAINER) -> str:
    """Image of a container: the engine's, unless another is asked for."""
    setting = find_image_setting(resource, container)
    return defaults.images[setting] if setting else resource.spec.engine.image or ""


def find_image_setting(resource: Resource, container: str) -> str:
    """Which setting of the operator names the image of a container; empty where the resource itself does.

    Our own server downloads for every engine: one way for all, with the same failures and the same pin.
    """
    engine = find_engine(resource)
    if container == FETCH_CONTAINER and engine.name is not EngineName.TRANSFORMERS:
        return SERVER_IMAGE
    return "" if resource.spec.engine.image else engine.image_settings[choose_hardware(resource.spec.accelerator)]


def _make_scrape_annotations(resource: Resource) -> dict[str, str]:
    return {
        "prometheus.io/scrape": "true",
        SCRAPE_PORT_ANNOTATION: str(find_metrics_port(resource)),
        "prometheus.io/path": METRICS_PATH,
    }


def _build_server(resource: Resource, defaults: ServerDefaults, files: ModelFiles) -> dict[str, Any]:
    spec, engine, probes = resource.spec, find_engine(resource), find_probes(resource)
    mounts = list(files.mounts)
    chosen = {variable.name: variable.value for variable in spec.engine.env or ()}
    if spec.access and spec.access.api_key_secret:
        mounts.append({"name": API_KEY_VOLUME, "mountPath": str(API_KEY_DIR), "readOnly": True})
    if engine.shared_memory(resource):
        mounts.append({"name": SHARED_MEMORY_VOLUME, "mountPath": "/dev/shm"})  # noqa: S108 - own volume
    container = _build_container(
        name=SERVER_CONTAINER, args=engine.arguments(resource, defaults), image=choose_image(resource, defaults),
        defaults=defaults, environment={**chosen, **engine.environment(resource), **OFFLINE}, mounts=mounts,
    )  # fmt: skip
    command = find_command(resource)
    if command:
        container["command"] = [word.replace("$", "$$") for word in command]
    return container | {
        "resources": build_resources(
            spec.resources, defaults, downloads=_fills_the_node(files, resource), accelerator=spec.accelerator
        ),
        "ports": _build_ports(resource),
        "lifecycle": {"preStop": engine.pre_stop(resource)},
        "startupProbe": _build_probe(
            probes.startup,
            period=timing.STARTUP_PERIOD_SECONDS,
            timeout=2,
            failures=timing.compute_startup_failures(spec.rollout.startup_timeout_seconds),
        ),
        "readinessProbe": _build_probe(
            probes.readiness,
            period=timing.READINESS_PERIOD_SECONDS,
            timeout=2,
            failures=timing.READINESS_FAILURES,
        ),
        "livenessProbe": _build_probe(
            probes.liveness, period=timing.LIVENESS_PERIOD_SECONDS, timeout=10, failures=timing.LIVENESS_FAILURES
        ),
    }


def _build_ports(resource: Resource) -> list[dict[str, Any]]:
    served, told = find_port(resource), find_metrics_port(resource)
    names = {HTTP_PORT_NAME: served} | ({METRICS_PORT_NAME: told} if told != served else {})
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in names.items()]


def _build_volumes(resource: Resource, files: ModelFiles) -> list[dict[str, Any]]:
    spec, engine = resource.spec, find_engine(resource)
    volumes = [*files.volumes, {"name": SCRATCH_VOLUME, "emptyDir": {"sizeLimit": engine.scratch_size}}]
    shared = engine.shared_memory(resource)
    if shared:
        volumes.append({"name": SHARED_MEMORY_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": shared}})
    if spec.access and spec.access.api_key_secret:
        volumes.append(build_secret_volume(API_KEY_VOLUME, spec.access.api_key_secret, API_KEY_FILE))
    return volumes


def _build_fetch(resource: Resource, defaults: ServerDefaults, files: ModelFiles) -> dict[str, Any]:
    container = _build_container(
        name=FETCH_CONTAINER, args=["fetch"], image=choose_image(resource, defaults, FETCH_CONTAINER),
        defaults=defaults, environment=files.fetch.to_environment() if files.fetch else {}, mounts=files.fetch_mounts,
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
        # The kubelet expands $(NAME); a doubled sign stands for itself.
        "args": [argument.replace("$", "$$") for argument in args],
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
