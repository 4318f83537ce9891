"""API keys: every route but three needs one."""

import pytest

from llmi_api.launch import Task
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry
from llmi_server.web.app import make_routes
from llmi_testing.server import running_server

KEY = "sk-first"
OPEN = {"/livez", "/readyz", "/metrics"}


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n\nsk-second\n")
    return path


@pytest.fixture
def server(key_file):
    with running_server(api_key_file=key_file) as running:
        yield running


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def routes():
    settings = ServeSettings(model_name="m", task=Task.EMBEDDINGS)
    app = make_routes(lifecycle=Lifecycle(), telemetry=Telemetry(), settings=settings)
    listed = [(path, method) for path, item in app.openapi()["paths"].items() for method in item]
    return [*listed, ("/openapi.json", "get"), ("/docs", "get"), ("/nothing", "get")]


def test_every_route_but_the_probes_and_metrics_needs_a_key(server):
    walked = routes()
    assert len(walked) >= 11
    for path, method in walked:
        status = server.http.request(method, path.replace("{name}", "test-model")).status_code
        assert (status == 401) == (path not in OPEN), (path, status)
        assert status != 500


def test_both_keys_open_and_the_scheme_may_be_lower_case(server):
    assert server.http.get("/v1/models", headers=bearer(KEY)).status_code == 200
    assert server.http.get("/v1/models", headers=bearer("sk-second")).status_code == 200
    assert server.http.get("/v1/models", headers={"authorization": f"bearer {KEY}"}).status_code == 200


WRONG = {
    "absent": {},
    "empty": {"authorization": ""},
    "no value": {"authorization": "Bearer"},
    "basic": {"authorization": "Basic c2stZmlyc3Q6"},
    "another scheme": {"authorization": f"Basic {KEY}"},
    "key alone": {"authorization": KEY},
    "near miss": bearer(KEY[:-1]),
    "longer": bearer(KEY + "x"),
    "upper case": bearer(KEY.upper()),
    "both keys": bearer(f"{KEY} sk-second"),
    "newline for the empty line": bearer("\\n"),
    "not ascii": {"authorization": "Bearer schl\u00fcssel".encode("latin-1")},
    "huge": bearer("x" * 50_000),
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_a_401_that_tells_nothing(server, headers):
    response = server.http.get("/v1/models", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert KEY not in response.text


def test_a_key_in_the_query_does_not_open(server):
    assert server.http.get(f"/v1/models?key={KEY}&api_key={KEY}").status_code == 401


def test_two_authorization_headers_do_not_open(server):
    headers = [("authorization", f"Bearer {KEY}"), ("authorization", "Bearer other")]
    assert server.http.get("/v1/models", headers=headers).status_code == 401


def test_changed_keys_hold_without_a_restart(server, key_file, monkeypatch):
    monkeypatch.setattr("llmi_server.web.access._RECHECK_SECONDS", 0)
    replacement = key_file.with_name("new")
    replacement.write_text("sk-new\n")
    replacement.replace(key_file)
    assert server.http.get("/v1/models", headers=bearer("sk-new")).status_code == 200
    assert server.http.get("/v1/models", headers=bearer(KEY)).status_code == 401


def test_an_empty_file_closes_the_server(server, key_file, monkeypatch):
    monkeypatch.setattr("llmi_server.web.access._RECHECK_SECONDS", 0)
    key_file.write_text("\n")
    assert server.http.get("/v1/models", headers={"authorization": "Bearer"}).status_code == 401
    assert server.http.get("/v1/models", headers=bearer(KEY)).status_code == 401


def test_a_missing_file_closes_the_server(server, key_file, monkeypatch):
    monkeypatch.setattr("llmi_server.web.access._RECHECK_SECONDS", 0)
    assert server.http.get("/v1/models", headers=bearer(KEY)).status_code == 200
    key_file.unlink()
    assert server.http.get("/v1/models", headers=bearer(KEY)).status_code == 401
    assert server.http.get("/livez").status_code == 200
