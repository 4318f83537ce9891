"""Condition types and the closed list of reasons, with one sentence each on what they mean."""

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
    """Why the resource is in the state it is in; the same word in every condition and event."""

    PENDING = "Pending"  # no operator has seen the resource yet
    SERVING = "Serving"  # all replicas of this generation answer
    SCALED_TO_ZERO = "ScaledToZero"  # replicas: 0 was asked for
    INVALID_SPEC = "InvalidSpec"  # the stored object breaks a rule that admission did not know
    NAME_TAKEN = "NameTaken"  # an object of that name belongs to somebody else
    FORBIDDEN = "Forbidden"  # the API server refuses the operator a verb
    REFUSED = "Refused"  # the API server refuses a child object, with its own words
    QUOTA_EXCEEDED = "QuotaExceeded"  # a ResourceQuota stops pods from being made
    UNSCHEDULABLE = "Unschedulable"  # no node fits a pod
    IMAGE_UNAVAILABLE = "ImageUnavailable"  # the kubelet cannot get an image
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a Secret or its key does not exist
    VOLUME_UNAVAILABLE = "VolumeUnavailable"  # a volume cannot be mounted
    EVICTED = "Evicted"  # a node threw a replica out
    FETCH_FAILED = "FetchFailed"  # the download gave up, with its code in the sentence
    START_FAILED = "StartFailed"  # the server gave up while starting, with its code in the sentence
    OUT_OF_MEMORY = "OutOfMemory"  # the kernel killed a container at its memory limit
    CRASH_LOOP = "CrashLoop"  # a container keeps ending without a reason of its own
    PROBE_FAILING = "ProbeFailing"  # a container runs but does not answer its probe in time
    ROLLOUT_STUCK = "RolloutStuck"  # the progress deadline passed
    DOWNLOADING = "Downloading"  # the model's files are being fetched
    LOADING = "Loading"  # the server is loading the model
    STARTING = "Starting"  # pods are being made or started
    SCALING = "Scaling"  # replicas are being added or removed
    AUTOSCALER_BLIND = "AutoscalerBlind"  # all replicas answer, but the autoscaler gets no metrics
    ADDRESS_PENDING = "AddressPending"  # all replicas answer, but the load balancer has no address yet
    DELETING = "Deleting"  # the resource is going away
