"""Our own model server."""

from llmi_api.launch import API_KEY_DIR, EngineName, LongInputs, ServeLaunch, VerifyQuestion
from llmi_api.metric_names import RUNNING_METRIC, WAITING_METRIC
from llmi_operator.parse import Resource
from llmi_operator.plan.accelerator import Hardware, choose_device
from llmi_operator.plan.engines.descriptor import Engine, Metrics, Probes
from llmi_operator.plan.names import API_KEY_FILE
from llmi_operator.settings import SERVER_IMAGE


def make_environment(resource: Resource) -> dict[str, str]:
    """Tell the server what the spec says."""
    spec = resource.spec
    key = spec.access.api_key_secret if spec.access else None
    return ServeLaunch(
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
    ).to_environment()


TRANSFORMERS = Engine(
    name=EngineName.TRANSFORMERS,
    title="the bundled server",
    image_settings=dict.fromkeys(Hardware, SERVER_IMAGE),
    arguments=lambda _, __: ["serve"],
    environment=make_environment,
    probes=Probes(startup="/readyz", readiness="/readyz", liveness="/livez"),
    metrics=Metrics(running=RUNNING_METRIC, waiting=WAITING_METRIC),
)
