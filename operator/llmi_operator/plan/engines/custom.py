"""Any HTTP server in any image: only what Kubernetes needs to know of it."""

from llmi_api.launch import EngineName
from llmi_operator.plan.engines.descriptor import Engine, Probes

CUSTOM = Engine(
    name=EngineName.CUSTOM,
    title="your own",
    # Its image is the resource's own: admission sees to that.
    image_settings={},
    arguments=lambda resource, _: list(resource.spec.engine.args or ()),
    environment=lambda _: {"HOME": "/tmp"},  # noqa: S108 - own volume
    probes=Probes(startup="/health", readiness="/health", liveness="/health"),
    metrics=None,
    shared_memory=lambda _: "1Gi",
    scratch_size="8Gi",
)
