"""Shows models under load in a real Prometheus, with rules and alerts: ``make demo-observability``.

No cluster is made: six servers run here, one of them on a real model, and after a minute one gets more clients than its
queue holds, so that alerts fire. ``PORT`` chooses Prometheus' port, ``SECONDS`` how long it runs (else until Ctrl-C).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import monitoring
from steps import run_steps, say, tell_and_exit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
CALM_SECONDS = 60


def main() -> None:
    """Run it all, and tell where to look."""
    from llmi_testing.monitoring_stack import HASTE  # noqa: PLC0415 - found through the line above
    from llmi_testing.watched_models import watched_models  # noqa: PLC0415 - likewise

    run_steps([monitoring.step()])
    port, seconds = int(os.environ.get("PORT", "9090")), float(os.environ.get("SECONDS", "inf"))
    say("Starting six servers, a real model among them …")
    with tempfile.TemporaryDirectory() as folder, watched_models(Path(folder), port=port) as watched:
        begun, url = time.monotonic(), watched.stack.url
        say(
            f"\nPrometheus     {url}/graph?g0.expr=llminference%3Arequest_seconds%3Ap95&g0.tab=0&g0.range_input=5m\n"
            f"Alerts         {url}/alerts — docs/alerts.md says what each means\n"
            f"Dashboards     import deploy/observability/grafana/*.json into a Grafana whose Prometheus is {url}\n"
            f"\nDurations of rules are divided by {HASTE} here: minutes are seconds. What Kubernetes and GPUs would\n"
            "tell is made up. Ctrl-C ends everything.\n"
        )
        _wait(begun + min(CALM_SECONDS, seconds))
        if seconds > CALM_SECONDS:
            watched.models.overload_one()
            say("“overloaded” now gets more clients than its queue holds: LLMInferenceRefusing and others will fire.")
            _wait(begun + seconds)
        firing = watched.stack.query('ALERTS{alertstate="firing"}')
        say("Firing: " + (", ".join(sorted({one["metric"]["alertname"] for one in firing})) or "nothing"))


def _wait(until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 1))


if __name__ == "__main__":
    tell_and_exit(main)
