"""What /readyz says while a model is fetched."""

import os
import socket
import threading

import httpx
import pytest

from llmi_api.readiness import ReadinessReport, Stage
from llmi_server.model.fetch import fetch
from llmi_server.model.progress import Progress
from llmi_server.model.readiness import answered
from llmi_server.settings import FetchSettings
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.hub import Behaviour, running_hub


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "hub" / "owner" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(400_000))
    return tmp_path / "hub"


def fetching(hub, tmp_path, port):
    return FetchSettings(model_id="owner/model", hub_endpoint=hub.url, model_dir=tmp_path / "model", port=port)


def test_bytes_and_speed_are_told_while_the_fetch_runs_and_nobody_answers_after_it(root, tmp_path):
    port, seen = free_port(), []

    def watch():
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/readyz")
        except httpx.TransportError:
            return False
        assert answer.status_code == 503
        seen.append(ReadinessReport.model_validate_json(answer.content))
        return seen[-1].done_bytes not in (None, 0, seen[-1].total_bytes)

    with running_hub(root, {"owner/model": Behaviour(bytes_per_second=200_000)}) as hub:
        thread = threading.Thread(target=fetch, args=(fetching(hub, tmp_path, port),))
        thread.start()
        eventually(watch, "a report from the middle of the fetch")
        thread.join()
    report = seen[-1]
    assert (report.stage, report.phase) == (Stage.FETCHING, "download")
    assert report.total_bytes == 400_002
    assert report.bytes_per_second > 0
    assert "resolve" in report.phase_seconds
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/readyz")


def test_a_taken_port_does_not_fail_the_fetch(root, tmp_path, caplog):
    with socket.socket() as taken, running_hub(root) as hub:
        taken.bind(("", 0))
        taken.listen()
        assert fetch(fetching(hub, tmp_path, taken.getsockname()[1])).bytes > 400_000
    assert "Progress is not told on /readyz" in caplog.text


def test_a_client_that_says_nothing_does_not_stop_the_next(monkeypatch):
    monkeypatch.setattr("llmi_server.model.readiness._CLIENT_SECONDS", 0.2)
    with answered(Progress().report, 0) as port, socket.create_connection(("127.0.0.1", port)):
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).status_code == 503


def test_head_and_other_paths_are_answered():
    with answered(Progress().report, 0) as port:
        address = f"http://127.0.0.1:{port}"
        head = httpx.head(f"{address}/readyz")
        assert (head.status_code, head.content) == (503, b"")
        assert httpx.get(f"{address}/").status_code == 404
        assert "python" not in head.headers["server"].lower()
