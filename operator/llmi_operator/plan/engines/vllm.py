"""vLLM: generation on GPUs, and pooling models."""

import json
from functools import cache
from importlib import resources
from math import ceil

from llmi_api.launch import API_KEY_DIR, HTTP_PORT, MODEL_DIR, EngineName, Precision, Task
from llmi_api.v1alpha1.abilities import ABILITIES, KSERVE_ROUTE
from llmi_operator.parse import Resource
from llmi_operator.plan import timing
from llmi_operator.plan.accelerator import Hardware, choose_hardware, count_devices
from llmi_operator.plan.engines.descriptor import FILES_DIR, Engine, Json, Metrics, Probes
from llmi_operator.plan.engines.vllm_symptoms import SYMPTOMS
from llmi_operator.plan.names import API_KEY_FILE
from llmi_operator.plan.quantity import parse_quantity
from llmi_operator.plan.resources import build_resources
from llmi_operator.settings import ServerDefaults

FRONT = "vllm_front.py"
LOGGING = "logging.json"
KSERVE = "kserve.json"
KSERVE_PROGRAMS = ("kserve.py", "vllm_kserve.py")
OPERATING_ROUTES = "/health,/metrics"
TASKS = {
    Task.EMBEDDINGS: ["--runner", "pooling", "--convert", "embed"],
    Task.TEXT_CLASSIFICATION: ["--runner", "pooling", "--convert", "classify"],
    Task.RERANK: ["--runner", "pooling", "--convert", "classify"],
}
CACHE_SHARE = 4
"""On a CPU this part of the memory is for keys and values: by itself vLLM would go by the memory of the whole node."""


def make_arguments(resource: Resource, defaults: ServerDefaults) -> list[str]:
    """Say in vLLM's flags what the spec says."""
    spec = resource.spec
    arguments = ["--served-model-name", spec.model.id or resource.name]
    arguments += ["--host", "0.0.0.0", "--port", str(HTTP_PORT)]  # noqa: S104 - in a pod
    arguments += TASKS.get(spec.task, [])
    if spec.engine.precision is not Precision.AUTO:
        arguments += ["--dtype", spec.engine.precision.value]
    devices = count_devices(spec.accelerator)
    if devices > 1:
        arguments += ["--tensor-parallel-size", str(devices)]
    if choose_hardware(spec.accelerator) is Hardware.CPU:
        arguments += ["--kv-cache-memory-bytes", str(_compute_cache_bytes(resource, defaults))]
    return [*arguments, *_make_limits(resource), *_make_operation(resource), *(spec.engine.args or ())]


def make_environment(resource: Resource) -> dict[str, str]:
    """What vLLM and our front of it read from the environment."""
    spec = resource.spec
    environment = {
        "HOME": "/tmp",  # noqa: S108 - own volume
        # Libraries ask who they are, and the uid has no entry in the image's /etc/passwd.
        "USER": "llmi",
        "PYTHONPATH": str(FILES_DIR),
        "PYTHONDONTWRITEBYTECODE": "1",
        "VLLM_LOGGING_CONFIG_PATH": str(FILES_DIR / LOGGING),
        "VLLM_ENGINE_READY_TIMEOUT_S": str(spec.rollout.startup_timeout_seconds),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "LLMI_PRE_STOP_SECONDS": str(timing.PRE_STOP_SECONDS),
        "LLMI_DRAIN_SECONDS": str(spec.rollout.drain_seconds),
        "LLMI_REQUEST_TIMEOUT_SECONDS": str(spec.limits.request_timeout_seconds),
    }
    if _find_traces_endpoint(resource):
        environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    if spec.access and spec.access.api_key_secret:
        environment["LLMI_API_KEY_FILE"] = str(API_KEY_DIR / API_KEY_FILE)
    if choose_hardware(spec.accelerator) is Hardware.CPU:
        environment |= _spread_threads(resource)
    return environment


def _spread_threads(resource: Resource) -> dict[str, str]:
    """Leave it to the kernel where threads run, unless the user says where.

    By itself vLLM binds them to the first cores of the node, all but one, as every other vLLM on the node does, and
    makes as many as there are cores, whatever the limit.
    """
    amounts = resource.spec.resources.limits if resource.spec.resources else None
    cores = parse_quantity(amounts.cpu) if amounts else None
    threads = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    if cores and cores.is_finite() and cores > 0:
        threads["OMP_NUM_THREADS"] = str(ceil(cores))
    chosen = {variable.name for variable in resource.spec.engine.env or ()}
    return {name: value for name, value in threads.items() if name not in chosen}


def make_files(resource: Resource) -> dict[str, str]:
    """Our front of vLLM, how it logs, and KServe's protocol for the tasks that it can ask for."""
    level = resource.spec.observability.logs.level.upper()
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(levelname)s %(asctime)s [%(name)s] %(message)s"}},
        "handlers": {
            "log": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
            "report": {"class": "vllm_front.Report", "level": "ERROR"},
        },
        "loggers": {"vllm": {"handlers": ["log", "report"], "level": level, "propagate": False}},
    }
    return {FRONT: _read_program(FRONT), LOGGING: json.dumps(config, indent=2), **_make_kserve(resource)}


def _make_kserve(resource: Resource) -> dict[str, str]:
    spec = resource.spec
    if KSERVE_ROUTE not in ABILITIES[EngineName.VLLM].routes[spec.task]:
        return {}
    served = {"model": spec.model.id or resource.name, "task": spec.task.value, "folder": str(MODEL_DIR)}
    return {KSERVE: json.dumps(served), **{name: _read_program(name) for name in KSERVE_PROGRAMS}}


@cache
def _read_program(name: str) -> str:
    return resources.files("llmi_operator").joinpath("inside", name).read_text(encoding="utf-8")


def make_pre_stop(_: Resource) -> Json:
    """Wait until nothing is in flight: only then is vLLM told to stop."""
    return {"exec": {"command": ["python3", str(FILES_DIR / FRONT)]}}


def _make_limits(resource: Resource) -> list[str]:
    limits = resource.spec.limits
    arguments = ["--max-num-queued-reqs", str(limits.max_queued_requests)]
    arguments += ["--max-num-batched-tokens", str(limits.max_batch_tokens)]
    if limits.max_input_tokens is not None:
        arguments += ["--max-model-len", str(limits.max_input_tokens + (limits.max_output_tokens or 0))]
    if limits.max_output_tokens is not None:
        longest = json.dumps({"max_new_tokens": limits.max_output_tokens})
        arguments += ["--override-generation-config", longest]
    return arguments


def _make_operation(resource: Resource) -> list[str]:
    arguments = ["--middleware", "vllm_front.Front", "--enable-request-id-headers"]
    arguments += ["--disable-access-log-for-endpoints", OPERATING_ROUTES]
    endpoint = _find_traces_endpoint(resource)
    if endpoint:
        arguments += ["--otlp-traces-endpoint", endpoint]
    # When the hook was not run to its end, what is in flight gets this long all the same.
    return [*arguments, "--shutdown-timeout", str(resource.spec.rollout.drain_seconds)]


def _find_traces_endpoint(resource: Resource) -> str:
    """Where traces go: OpenTelemetry's own variables say so for our own server too."""
    chosen = {variable.name: variable.value for variable in resource.spec.engine.env or ()}
    base = chosen.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    return chosen.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{base}/v1/traces" if base else "")


def _compute_cache_bytes(resource: Resource, defaults: ServerDefaults) -> int:
    amounts = build_resources(resource.spec.resources, defaults, downloads=False, accelerator=None)
    return int(parse_quantity(amounts["limits"]["memory"]) or 0) // CACHE_SHARE


def _choose_shared_memory(resource: Resource) -> str:
    return "1Gi" if choose_hardware(resource.spec.accelerator) is Hardware.CPU else "8Gi"


VLLM = Engine(
    name=EngineName.VLLM,
    title="vLLM",
    image_settings={
        Hardware.CPU: "vllm_cpu_image",
        Hardware.NVIDIA: "vllm_image",
        Hardware.AMD: "vllm_amd_image",
        Hardware.OTHER: "vllm_image",
    },
    command=("vllm", "serve", str(MODEL_DIR)),
    arguments=make_arguments,
    environment=make_environment,
    probes=Probes(startup="/health", readiness="/health", liveness="/health"),
    metrics=Metrics(
        running="vllm:num_requests_running",
        waiting="vllm:num_requests_waiting",
        cache_use="vllm:kv_cache_usage_perc",
    ),
    pre_stop=make_pre_stop,
    shared_memory=_choose_shared_memory,
    # What it compiles for the model and the device lies there.
    scratch_size="8Gi",
    files=make_files,
    symptoms=SYMPTOMS,
)
