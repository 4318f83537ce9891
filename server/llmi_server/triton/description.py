"""Triton's description of a model, ``config.pbtxt``: what goes in and out, and how requests are batched."""

import json

from llmi_api.launch import short_name
from llmi_server.schema.kserve import INPUT, TensorMetadata, output_of
from llmi_server.settings import TritonSettings

_KINDS = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}


def describe_model(settings: TritonSettings) -> str:
    """Write the description.

    Names and types are those of the bundled server in KServe's protocol, so that clients need not know which of both
    answers. Nothing waits for company: a batch is what has come while the one before was computed. The kind says only
    that Triton shall not look for GPUs: the back end chooses its device itself.
    """
    return f"""\
name: {json.dumps(short_name(settings.model_name))}
backend: "python"
max_batch_size: {settings.max_inputs_per_request}
input [ {_describe(INPUT)} ]
output [ {_describe(output_of(settings.task))} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{
  max_queue_delay_microseconds: 0
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {settings.request_timeout_seconds * 1_000_000}
    max_queue_size: {settings.max_queued_requests}
  }}
}}
"""


def _describe(tensor: TensorMetadata) -> str:
    """One value for each text is [texts, 1] to clients, as Triton knows no tensor without a second dimension."""
    shape = "dims: [ -1 ]" if len(tensor.shape) > 1 else "dims: [ 1 ] reshape { shape: [ ] }"
    return f'{{ name: "{tensor.name}" data_type: {_KINDS[tensor.datatype]} {shape} }}'
