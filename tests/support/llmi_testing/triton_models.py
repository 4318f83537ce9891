"""A model for Triton that doubles numbers, as a folder of a model repository."""

from pathlib import Path

CONFIG = """\
backend: "python"
max_batch_size: 8
input [ { name: "number" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "double" data_type: TYPE_FP32 dims: [ 1 ] } ]
dynamic_batching { }
"""
CODE = """\
import time

import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, args):
        family = backend.MetricFamily(name="llmi_requests_running", description="ours", kind=backend.MetricFamily.GAUGE)
        self.family, self.running = family, family.Metric(labels={})

    def execute(self, requests):
        self.running.set(len(requests))
        numbers = [backend.get_input_tensor_by_name(request, "number").as_numpy() for request in requests]
        time.sleep(max(float(number.max()) for number in numbers) / 100)
        answers = [backend.InferenceResponse([backend.Tensor("double", number * 2)]) for number in numbers]
        self.running.set(0)
        return answers
"""


def write_doubling(folder: Path, name: str = "doubling", *, config: str = CONFIG) -> None:
    """Write a model that takes as many hundredths of a second as its number is; its folder cannot be written to."""
    version = folder / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(CODE)
    (version.parent / "config.pbtxt").write_text(config)
    version.chmod(0o555)
