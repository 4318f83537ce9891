"""The probe tells an engine that is stuck from one that is busy."""

import pytest

from llmi_testing.server import running_server


@pytest.mark.parametrize(("seconds", "status"), [(0, 200), (60, 200), (119, 200), (121, 500), (3600, 500)])
def test_an_engine_that_is_stuck_fails_the_probe_and_one_that_is_only_busy_does_not(seconds, status):
    with running_server() as server:
        server.lifecycle.loaded_service._runner.stuck_seconds = lambda: seconds
        assert server.http.get("/livez").status_code == status
