"""Version v1alpha1 of the resource."""

from llmi_api.v1alpha1.conditions import ConditionType, Reason
from llmi_api.v1alpha1.llm_inference import LLMInference
from llmi_api.v1alpha1.network import ServiceType
from llmi_api.v1alpha1.operation import RolloutMode
from llmi_api.v1alpha1.spec import LLMInferenceSpec
from llmi_api.v1alpha1.status import (
    CostStatus,
    EngineStatus,
    LLMInferenceStatus,
    MemoryStatus,
    ModelStatus,
    PrecisionMemory,
    RolloutStatus,
    ScalingStatus,
    StartupStatus,
)

__all__ = [
    "ConditionType",
    "CostStatus",
    "EngineStatus",
    "LLMInference",
    "LLMInferenceSpec",
    "LLMInferenceStatus",
    "MemoryStatus",
    "ModelStatus",
    "PrecisionMemory",
    "Reason",
    "RolloutMode",
    "RolloutStatus",
    "ScalingStatus",
    "ServiceType",
    "StartupStatus",
]
