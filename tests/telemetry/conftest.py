"""One Jaeger, one collector, one search engine and one model server for all tests here."""

import pytest

from llmi_api.launch import Task
from llmi_testing.collector import running_collector
from llmi_testing.jaeger import running_jaeger
from llmi_testing.models import small_model
from llmi_testing.search_engine import running_search_engine
from llmi_testing.served import served


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory):
    with running_jaeger(tmp_path_factory.mktemp("jaeger")) as jaeger:
        yield jaeger


@pytest.fixture(scope="session")
def collector(tmp_path_factory, jaeger):
    with running_collector(tmp_path_factory.mktemp("collector"), store=jaeger.takes) as collector:
        yield collector


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    with running_search_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="session")
def server(collector):
    """A model server as in a pod: a process of its own, told of the collector by variables."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with served(small_model("bert", "fill-mask"), Task.FILL_MASK, log_level="debug") as server:
            yield server
