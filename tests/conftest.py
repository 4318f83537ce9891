"""What holds for every test."""

from hypothesis import HealthCheck, settings

from llmi_testing.examples import draws_anew

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not draws_anew()
)
settings.load_profile("untimed")
