"""Models under load, the operator on a real API server, and what watches them: all of it once for all tests."""

import pytest

from llmi_testing.watched_models import watched_models


@pytest.fixture(scope="session")
def watched(tmp_path_factory):
    """Everything runs, is well, and is scraped."""
    with watched_models(tmp_path_factory.mktemp("monitoring")) as found:
        yield found
