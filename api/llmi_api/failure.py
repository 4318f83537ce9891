"""Failures of the fetcher and the server, as the operator reads them.

A container that gives up writes one JSON line to its termination message (and to its log) and exits
with the code's own exit status. The operator turns the code into a condition reason; ``message`` and
``next`` are shown to the user as they are, so both are plain sentences without secrets.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from llmi_api.readiness import MAX_PRECISIONS, Bytes


class FailureCode(StrEnum):
    """Why a container gave up, one value for each cause that a user fixes differently."""

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
    OUT_OF_MEMORY = "OutOfMemory"
    ACCELERATOR_ABSENT = "AcceleratorAbsent"
    PRECISION_UNSUPPORTED = "PrecisionUnsupported"
    LOAD_FAILED = "LoadFailed"
    VERIFY_FAILED = "VerifyFailed"


EXIT_CODES: dict[FailureCode, int] = {code: 64 + index for index, code in enumerate(FailureCode)}
"""Exit statuses from 64 up (as ``sysexits.h`` begins), below 126 where shells and signals begin."""


class Failure(BaseModel):
    """The JSON line a container leaves behind when it gives up."""

    model_config = ConfigDict(frozen=True)

    code: FailureCode
    message: str = Field(max_length=1024, description="What is wrong and where, one sentence.")
    next: str = Field(max_length=512, description="What the user can do about it, one sentence.")
    predicted_by_precision: dict[str, Bytes] = Field(
        default={}, max_length=MAX_PRECISIONS, description="Memory that the model would take, where that is the cause."
    )


class FetchReport(BaseModel):
    """The JSON line that a successful fetch leaves behind."""

    model_config = ConfigDict(frozen=True)

    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="The commit that was fetched.")
    bytes: int = Field(ge=0, description="Size of the files on disk.")
    seconds: float = Field(ge=0, description="How long the fetch took.")
    downloaded_bytes: int | None = Field(
        default=None, ge=0, description="What came over the network; less than the size when files were there."
    )
    upstream: str | None = Field(
        default=None, description="Commit that the revision names by now, where it was asked for and differs."
    )
