"""Every number of seconds in a pod, with its arithmetic; docs/timing.md explains them."""

from math import ceil

PRE_STOP_SECONDS = 5
"""Time for the endpoints to forget a pod before it stops taking requests."""
STARTUP_PERIOD_SECONDS = 5
READINESS_PERIOD_SECONDS = 3
READINESS_FAILURES = 2
# Lenient: a busy server must not be killed for being slow; two minutes of silence is a dead one.
LIVENESS_PERIOD_SECONDS = 20
LIVENESS_FAILURES = 6
STOP_MARGIN_SECONDS = 10
PROGRESS_MARGIN_SECONDS = 60


def compute_startup_failures(startup_timeout_seconds: int) -> int:
    """How many failed start-up probes in a row end a container: the timeout in whole periods, rounded up."""
    return ceil(startup_timeout_seconds / STARTUP_PERIOD_SECONDS)


def compute_grace_seconds(drain_seconds: int) -> int:
    """How long a stopping pod lives: endpoints forget it, then it drains, then it closes down."""
    return PRE_STOP_SECONDS + drain_seconds + STOP_MARGIN_SECONDS


def compute_progress_deadline_seconds(startup_timeout_seconds: int) -> int:
    """When a rollout counts as stuck: after the start-up timeout and time to be scheduled and to pull images."""
    return startup_timeout_seconds + PROGRESS_MARGIN_SECONDS
