from hypothesis import given
from hypothesis import strategies as st

from llmi_operator.plan import timing


@given(st.integers(30, 86400))
def test_start_up_probes_last_as_long_as_the_timeout_and_less_than_a_period_longer(timeout):
    lasts = timing.compute_startup_failures(timeout) * timing.STARTUP_PERIOD_SECONDS
    assert timeout <= lasts < timeout + timing.STARTUP_PERIOD_SECONDS
    assert timing.compute_progress_deadline_seconds(timeout) > lasts


@given(st.integers(0, 3600))
def test_a_pod_lives_longer_than_it_waits_and_drains(drain):
    assert timing.compute_grace_seconds(drain) > timing.PRE_STOP_SECONDS + drain
