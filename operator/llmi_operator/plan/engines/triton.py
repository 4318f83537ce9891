"""Triton: the bundled server's models behind NVIDIA's inference server."""

from llmi_api.launch import TRITON_METRICS_PORT, EngineName
from llmi_api.metric_names import RUNNING_METRIC
from llmi_operator.plan.accelerator import Hardware
from llmi_operator.plan.engines.descriptor import Engine, Metrics, Probes
from llmi_operator.plan.engines.transformers import make_environment
from llmi_operator.settings import TRITON_IMAGE

# Where Triton and its back end hand each other texts and answers; counts as memory once it is used.
SHARED_MEMORY = "256Mi"

TRITON = Engine(
    name=EngineName.TRITON,
    title="Triton",
    image_settings=dict.fromkeys(Hardware, TRITON_IMAGE),
    arguments=lambda *_: ["triton"],
    environment=make_environment,
    # That the back end has gone, Triton tells on none of them: the container ends then (llmi_server.triton.watch).
    probes=Probes(startup="/v2/health/ready", readiness="/v2/health/ready", liveness="/v2/health/live"),
    # What is computed Triton does not count: our back end tells that.
    metrics=Metrics(running=RUNNING_METRIC, waiting="nv_inference_pending_request_count"),
    metrics_port=TRITON_METRICS_PORT,
    shared_memory=lambda _: SHARED_MEMORY,
)
