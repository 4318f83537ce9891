"""The engines that there are. One more is one more file here, and a golden case."""

from collections.abc import Mapping

from llmi_api.launch import HTTP_PORT, EngineName
from llmi_operator.parse import Resource
from llmi_operator.plan.engines.custom import CUSTOM
from llmi_operator.plan.engines.descriptor import Engine, Probes
from llmi_operator.plan.engines.transformers import TRANSFORMERS
from llmi_operator.plan.engines.triton import TRITON
from llmi_operator.plan.engines.vllm import VLLM

ENGINES: Mapping[EngineName, Engine] = {engine.name: engine for engine in (TRANSFORMERS, VLLM, TRITON, CUSTOM)}


def find_engine(resource: Resource) -> Engine:
    """The engine that a resource asks for."""
    return ENGINES[resource.spec.engine.name]


def find_port(resource: Resource) -> int:
    """Where it serves."""
    return resource.spec.engine.port or HTTP_PORT


def find_metrics_port(resource: Resource) -> int:
    """Where it tells its metrics."""
    port = find_engine(resource).metrics_port
    return find_port(resource) if port == HTTP_PORT else port


def find_probes(resource: Resource) -> Probes:
    """What the kubelet asks."""
    path = resource.spec.engine.health_path
    return Probes(path, path, path) if path else find_engine(resource).probes


def find_command(resource: Resource) -> tuple[str, ...]:
    """The program; empty for the image's entry point."""
    return tuple(resource.spec.engine.command or find_engine(resource).command)
