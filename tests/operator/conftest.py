"""The switch that rewrites the expected manifests."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--golden-update", action="store_true", help="write what is made as what is expected")


@pytest.fixture
def golden_update(request):
    return request.config.getoption("--golden-update", default=False)
