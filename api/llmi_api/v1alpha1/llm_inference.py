"""The resource itself: LLMInference, version v1alpha1."""

from pydantic import ConfigDict, Field

from llmi_api.meta import Model, rules
from llmi_api.v1alpha1.spec import LLMInferenceSpec
from llmi_api.v1alpha1.status import UNSEEN_STATUS, LLMInferenceStatus

MAX_NAME_LENGTH = 46
"""A pod's name adds a hash and a suffix, 17 characters, and must stay a host name of 63."""


class LLMInference(Model):
    """A Hugging Face model that Kubernetes serves over HTTP."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.metadata.name.size() <= {MAX_NAME_LENGTH} && "
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"metadata.name must begin with a letter, hold only a-z, 0-9 and -, and be at most {MAX_NAME_LENGTH} "
                "characters long: the Service and the pods are named after it.",
            )
        )
    )

    spec: LLMInferenceSpec = Field(description="The model to serve, and how.")
    status: LLMInferenceStatus | None = Field(
        default=None,
        json_schema_extra={"default": UNSEEN_STATUS.to_manifest()},
        description="What the operator sees, and what to do next. Nobody else writes it.",
    )
