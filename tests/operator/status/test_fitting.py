"""What is said of memory while a model is still being downloaded."""

import pytest

from llmi_api.readiness import ReadinessReport, Stage
from llmi_operator.status.fitting import warn_of_memory
from llmi_testing.inference import DEFAULTS, make_resource

GIB = 2**30
SIZES = {"float32": 4 * GIB, "bfloat16": 2 * GIB, "int8": GIB}
LIMIT = {"resources": {"limits": {"memory": "1536Mi"}}}


def warning(sizes=SIZES, **spec):
    report = ReadinessReport(stage=Stage.FETCHING, phase="download", predicted_by_precision=sizes)
    return warn_of_memory(report, make_resource(**{**LIMIT, **spec}), DEFAULTS)


def test_what_will_not_fit_is_told_with_needed_limit_and_what_to_do():
    assert warning(engine={"precision": "float32"}) == (
        "It will not fit: it needs about 4096 MiB in float32 and the memory limit is 1536 MiB. "
        "Raise spec.resources.limits.memory, or set spec.engine.precision to int8 (1024 MiB)."
    )


@pytest.mark.parametrize(("task", "precision"), [("fill-mask", "bfloat16"), ("text-generation", "float32")])
def test_auto_is_taken_for_the_least_that_it_can_come_to(task, precision):
    assert f"in {precision}" in warning(task=task)


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"precision": "int8"}},
        {"resources": {"limits": {"memory": "8Gi"}}},
        {"accelerator": {"resource": "nvidia.com/gpu"}},
        {"sizes": {}},
    ],
)
def test_nothing_is_said_where_it_fits_or_is_not_known(spec):
    assert warning(**spec) == ""


def test_where_no_precision_fits_only_more_memory_helps():
    assert warning({"bfloat16": 2 * GIB}).endswith("Raise spec.resources.limits.memory.")
