"""The numbers of docs/timing.md are those of the code."""

from pathlib import Path

import pytest

from llmi_operator.plan import timing
from llmi_testing.inference import make_resource

TEXT = (Path(__file__).parents[2] / "docs" / "timing.md").read_text()
ROLLOUT = make_resource().spec.rollout
DRAIN, STARTUP = ROLLOUT.drain_seconds, ROLLOUT.startup_timeout_seconds
NUMBERS = {
    "time to be forgotten": f"{timing.PRE_STOP_SECONDS} s",
    "drain": f"{DRAIN} s",
    "time to close down": f"{timing.STOP_MARGIN_SECONDS} s",
    "grace": f"{timing.compute_grace_seconds(DRAIN)} s",
    "probe": f"{timing.STARTUP_PERIOD_SECONDS} s",
    "failures": f"{timing.compute_startup_failures(STARTUP)}",
    "rollout counts as stuck": f"{timing.compute_progress_deadline_seconds(STARTUP)} s",
    "not ready after": f"{timing.READINESS_PERIOD_SECONDS * timing.READINESS_FAILURES} s",
    "started anew after": f"{timing.LIVENESS_PERIOD_SECONDS * timing.LIVENESS_FAILURES} s",
}
SUMS = [
    f"{timing.PRE_STOP_SECONDS} + `drainSeconds` + {timing.STOP_MARGIN_SECONDS}",
    f"`startupTimeoutSeconds` / {timing.STARTUP_PERIOD_SECONDS}, rounded up",
    f"`startupTimeoutSeconds` + {timing.PROGRESS_MARGIN_SECONDS}",
    f"{timing.READINESS_FAILURES} failures, {timing.READINESS_PERIOD_SECONDS} s apart",
    f"{timing.LIVENESS_FAILURES} failures, {timing.LIVENESS_PERIOD_SECONDS} s apart",
    f"with the default of {DRAIN}",
    f"with the default of {STARTUP}",
]


def rows():
    for line in TEXT.splitlines():
        if line.startswith("| ") and not line.startswith("| number"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield cells[0], cells[-1]


def test_every_number_of_the_document_is_the_codes():
    assert dict(rows()) == NUMBERS


@pytest.mark.parametrize("words", SUMS)
def test_every_sum_of_the_document_is_the_codes(words):
    assert words in TEXT
