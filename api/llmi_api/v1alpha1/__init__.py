"""Version v1alpha1 of the resource."""

from llmi_api.v1alpha1.conditions import ConditionType, Reason
from llmi_api.v1alpha1.llm_inference import LLMInference
from llmi_api.v1alpha1.spec import LLMInferenceSpec, ServiceType
from llmi_api.v1alpha1.status import EngineStatus, LLMInferenceStatus, ModelStatus

__all__ = [
    "ConditionType",
    "EngineStatus",
    "LLMInference",
    "LLMInferenceSpec",
    "LLMInferenceStatus",
    "ModelStatus",
    "Reason",
    "ServiceType",
]
