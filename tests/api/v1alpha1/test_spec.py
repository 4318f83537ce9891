"""The Python types judge the same table as the API server does, where a rule exists on both sides."""

import pytest
from pydantic import ValidationError

from llmi_api.v1alpha1 import LLMInference
from llmi_testing.manifests import ACCEPTED, REFUSED


@pytest.mark.parametrize("body", [pytest.param(body, id=case) for case, body in ACCEPTED])
def test_the_types_accept(body):
    LLMInference.model_validate(body)


@pytest.mark.parametrize(
    "body", [pytest.param(refused.body, id=refused.case) for refused in REFUSED if refused.by_types]
)
def test_the_types_refuse(body):
    with pytest.raises(ValidationError):
        LLMInference.model_validate(body)
