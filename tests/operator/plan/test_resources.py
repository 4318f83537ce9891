import pytest

from llmi_operator.plan.resources import build_resources
from llmi_testing.inference import DEFAULTS, make_resource

DISK = {"ephemeral-storage": "4Gi"}


@pytest.mark.parametrize(
    ("given", "requests", "limits"),
    [
        pytest.param(None, {"cpu": "1", "memory": "3Gi", **DISK}, {"memory": "3Gi"}, id="nothing given"),
        pytest.param(
            {"requests": {"memory": "8Gi"}},
            {"cpu": "1", "memory": "8Gi", **DISK},
            {"memory": "8Gi"},
            id="memory's limit follows its request",
        ),
        pytest.param(
            {"limits": {"memory": "1Gi"}},
            {"cpu": "1", "memory": "1Gi", **DISK},
            {"memory": "1Gi"},
            id="a request never exceeds the limit",
        ),
        pytest.param(
            {"limits": {"cpu": "500m"}},
            {"cpu": "500m", "memory": "3Gi", **DISK},
            {"cpu": "500m", "memory": "3Gi"},
            id="a small cpu limit is the request",
        ),
        pytest.param(
            {"requests": {"cpu": 2, "ephemeral-storage": "1Gi"}, "limits": {"memory": "4Gi"}},
            {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "1Gi"},
            {"memory": "4Gi"},
            id="what is given stays",
        ),
    ],
)
def test_defaults_fill_gaps_and_contradict_nothing(given, requests, limits):
    resources = make_resource(resources=given).spec.resources
    made = build_resources(resources, DEFAULTS, downloads=True, accelerator=None)
    assert made == {"requests": requests, "limits": limits}


def test_a_model_that_is_not_downloaded_asks_for_no_disk():
    assert DISK.keys() - build_resources(None, DEFAULTS, downloads=False, accelerator=None)["requests"].keys()


def test_devices_are_requests_and_limits_alike():
    accelerator = make_resource(accelerator={"count": 2}).spec.accelerator
    made = build_resources(None, DEFAULTS, downloads=False, accelerator=accelerator)
    assert made["requests"]["nvidia.com/gpu"] == made["limits"]["nvidia.com/gpu"] == "2"
