"""Condition types and the closed list of reasons; `reasons` explains each of them."""

from enum import StrEnum


class ConditionType(StrEnum):
    """What a condition is about."""

    READY = "Ready"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    STALLED = "Stalled"


MEANING = {
    ConditionType.READY: "All wanted replicas of this generation of the spec answer. False at `replicas: 0`.",
    ConditionType.AVAILABLE: "At least one replica answers, be it of an older version.",
    ConditionType.PROGRESSING: "Something is under way that ends by itself: starting, downloading, scaling, deleting.",
    ConditionType.DEGRADED: "Something is wrong. It may heal when the surroundings change, such as a node that comes.",
    ConditionType.STALLED: "Something is wrong and stays so until the spec, a Secret, a quota or the operator changes.",
}
"""What it means that a condition is True."""


class Reason(StrEnum):
    """Why the resource is in the state it is in; the same word in conditions and events.

    The failure codes of the download and the server are reasons too, under the same words.
    """

    SERVING = "Serving"
    SCALED_TO_ZERO = "ScaledToZero"
    PAUSED = "Paused"
    DELETING = "Deleting"

    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    PULLING_IMAGE = "PullingImage"
    DOWNLOADING = "Downloading"
    LOADING = "Loading"
    SCALING = "Scaling"

    ADDRESS_PENDING = "AddressPending"
    AUTOSCALER_BLIND = "AutoscalerBlind"
    BUDGET_HELD = "BudgetHeld"
    BUDGET_UNKNOWN = "BudgetUnknown"
    MIXED_REVISIONS = "MixedRevisions"

    INVALID_SPEC = "InvalidSpec"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"
    FORBIDDEN = "Forbidden"
    API_MISSING = "ApiMissing"
    API_FAILING = "ApiFailing"
    OPERATOR_FAULT = "OperatorFault"

    QUOTA_EXCEEDED = "QuotaExceeded"
    LIMIT_RANGE_EXCEEDED = "LimitRangeExceeded"
    POD_SECURITY_REFUSED = "PodSecurityRefused"

    UNSCHEDULABLE = "Unschedulable"
    VOLUME_UNAVAILABLE = "VolumeUnavailable"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a Secret or its key does not exist
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"

    OUT_OF_MEMORY = "OutOfMemory"
    CRASH_LOOP = "CrashLoop"
    PROBE_FAILING = "ProbeFailing"
    ROLLOUT_STUCK = "RolloutStuck"

    FETCH_FAILED = "FetchFailed"
    START_FAILED = "StartFailed"

    INVALID_SETTINGS = "InvalidSettings"
    REPOSITORY_UNKNOWN = "RepositoryUnknown"
    REVISION_UNKNOWN = "RevisionUnknown"
    ACCESS_GATED = "AccessGated"
    TOKEN_MISSING = "TokenMissing"  # noqa: S105 - the name of a failure, not a secret
    TOKEN_REFUSED = "TokenRefused"  # noqa: S105 - the name of a failure, not a secret
    NO_SAFETENSORS = "NoSafetensors"
    DISK_FULL = "DiskFull"
    HASH_MISMATCH = "HashMismatch"
    HUB_UNREACHABLE = "HubUnreachable"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_INVALID = "ModelInvalid"
    TASK_MISMATCH = "TaskMismatch"
    REMOTE_CODE_NEEDED = "RemoteCodeNeeded"
    ACCELERATOR_ABSENT = "AcceleratorAbsent"
    PRECISION_UNSUPPORTED = "PrecisionUnsupported"
    LOAD_FAILED = "LoadFailed"
    VERIFY_FAILED = "VerifyFailed"
