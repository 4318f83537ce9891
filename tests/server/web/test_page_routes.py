"""The page over HTTP: who gets it, who gets what they always got, and what a browser is told."""

import re
from pathlib import Path

import pytest

import llmi_server.web
from llmi_testing.server import running_server

FILES = Path(llmi_server.web.__file__).parent / "page"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running


def test_a_browser_gets_the_page(server):
    answer = server.http.get("/", headers={"accept": BROWSER})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FILES / "index.html").read_bytes()
    assert server.http.head("/", headers={"accept": BROWSER}).status_code == 200


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/html;q=0, application/json", "text/htmlx"])
def test_an_api_client_that_gets_the_root_is_told_what_the_root_takes(server, accept):
    answer = server.http.get("/", headers={"accept": accept})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_supported"


def test_a_browser_that_posts_a_task_gets_its_answer(server):
    answer = server.http.post("/", json={"inputs": "a"}, headers={"accept": BROWSER})
    assert len(answer.json()[0]) == 4


def test_other_methods_are_still_told_what_the_api_takes(server):
    assert server.http.put("/").headers["allow"] == "POST"


def test_every_file_that_the_page_names_is_served_with_its_type(server):
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    for path in FILES.iterdir():
        answer = server.http.get(f"/page/{path.name}")
        assert answer.headers["content-type"].split(";")[0] == kinds[path.suffix]
        assert answer.headers["x-content-type-options"] == "nosniff"
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', (FILES / "index.html").read_text())
    assert len(named) == 3
    assert {server.http.get(f"/{name}").status_code for name in named} == {200}


@pytest.mark.parametrize("name", ["nothing.js", "..%2fgate.py", "%2e%2e/gate.py", "../gate.py", ""])
def test_nothing_but_the_page_is_served_beside_it(server, name):
    assert server.http.get(f"/page/{name}").status_code == 404


def test_the_page_may_load_and_call_this_server_only(server):
    policy = server.http.get("/", headers={"accept": BROWSER}).headers["content-security-policy"]
    allowed = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert allowed["default-src"] == ["'none'"]
    assert {source for sources in allowed.values() for source in sources} == {"'none'", "'self'"}


def test_the_page_needs_no_key_and_tells_nothing_of_the_model(tmp_path):
    (tmp_path / "keys").write_text("secret\n")
    with running_server(api_key_file=tmp_path / "keys", model_name="hidden-name") as server:
        page = server.http.get("/", headers={"accept": BROWSER})
        assert page.status_code == 200
        assert "hidden-name" not in page.text
        assert server.http.get("/page/main.js").status_code == 200
        assert server.http.get("/").status_code == 401
        assert server.http.post("/", json={"inputs": "a"}, headers={"accept": BROWSER}).status_code == 401
        assert server.http.post("/page/main.js").status_code == 401
        assert server.http.get("/status").status_code == 401


def test_the_page_counts_as_an_operation_of_its_own(server):
    server.http.get("/", headers={"accept": BROWSER})
    assert 'llmi_requests_total{code="200",operation="page"}' in server.http.get("/metrics").text
