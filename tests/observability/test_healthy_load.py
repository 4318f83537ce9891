"""Under healthy load nothing fires, with every rule as it is shipped. ``LLMI_HEALTHY_MINUTES`` says for how long."""

import os
import signal

import pytest

from llmi_testing.eventually import eventually, throughout
from llmi_testing.watched_models import watched_models
from observability.prometheus import write_rule_file

MINUTES = float(os.environ.get("LLMI_HEALTHY_MINUTES", "60"))
SHIPPED_SCRAPE_SECONDS = 15
DOWN = "LLMInferenceDown"
DOWN_SECONDS = 600
pytestmark = [pytest.mark.observability, pytest.mark.soak, pytest.mark.timeout(MINUTES * 60 + 2 * DOWN_SECONDS)]
SERVED = ("real", "well", "failing", "overloaded")


@pytest.fixture
def watched(tmp_path):
    with watched_models(tmp_path, rules=write_rule_file(), scrape_seconds=SHIPPED_SCRAPE_SECONDS) as found:
        found.models.be_well()
        yield found


def test_no_alert_fires_under_healthy_load_and_the_first_fault_does(watched):
    stack = watched.stack

    def nothing_fires():
        firing = {one["metric"]["alertname"] for one in stack.query('ALERTS{alertstate="firing"}')}
        assert not firing
        assert stack.receiver.alerts == []
        return True

    throughout(nothing_fires, seconds=MINUTES * 60, every=5)
    for name in SERVED:
        assert stack.query(f'llminference:requests:rate5m{{llminference="{name}"}} > 1')
    watched.models.process.process.send_signal(signal.SIGSTOP)
    of_it = {"namespace": "models", "llminference": "real"}
    eventually(lambda: stack.receiver.of(DOWN, "firing", **of_it), f"{DOWN} fires", seconds=DOWN_SECONDS)
    assert {one["labels"]["llminference"] for one in stack.receiver.alerts} == {"real"}
