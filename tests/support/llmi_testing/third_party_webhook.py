"""Somebody else's admission webhook: a small TLS server that refuses, changes, or does not answer, as a test says."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmi_testing.api import Api, Body
from llmi_testing.apiserver import ApiServer
from llmi_testing.eventually import eventually

_PLACE = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
TIMEOUT_SECONDS = 3
Answer = Callable[[Body], Body]


class ThirdPartyWebhook:
    """Use it as a context manager; it is asked about the Services and Deployments of one namespace."""

    name = "costs.example.com"

    def __init__(self, server: ApiServer, api: Api, namespace: str, folder: Path) -> None:
        self._api = api
        self._namespace = namespace
        self._answer: Answer = _allow
        self._released = threading.Event()
        self.asked = 0
        certificate = folder / "webhook.crt"
        server.sign(certificate, "/CN=webhook", "-addext", "subjectAltName=IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._authority = (server.folder / "ca.crt").read_bytes()
        self._http = _QuietServer(("127.0.0.1", 0), self._make_handler())
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        status, answer = self._api.ask("POST", _PLACE, self._make_configuration())
        assert status == 201, answer
        # The API server takes it up a moment later: a probe that is refused shows that it has.
        self.refuse("not yet")
        eventually(self._is_asked, "the webhook is asked")
        self.allow()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._released.set()
        self._api.ask("DELETE", f"{_PLACE}/{self.name}")
        self._http.shutdown()
        self._http.server_close()

    def allow(self) -> None:
        """Have no objection to anything."""
        self._answer = _allow
        self._released.set()

    def refuse(self, words: str) -> None:
        """Refuse everything with these words."""
        self._answer = lambda _: {"allowed": False, "status": {"code": 403, "message": words}}

    def hang(self) -> None:
        """Give no answer until something else is said."""
        self._released.clear()
        self._answer = self._wait

    def add_annotation(self, name: str, value: str) -> None:
        """Add an annotation to everything."""

        def answer(request: Body) -> Body:
            known = request["object"]["metadata"].get("annotations") or {}
            return _patch({"op": "add", "path": "/metadata/annotations", "value": {**known, name: value}})

        self._answer = answer

    def change(self, resource: str, pointer: str, value: Any) -> None:
        """Set one field of everything of a kind."""

        def answer(request: Body) -> Body:
            mine = request["resource"]["resource"] == resource
            return _patch({"op": "add", "path": pointer, "value": value}) if mine else _allow(request)

        self._answer = answer

    def _wait(self, request: Body) -> Body:
        self._released.wait(60)
        return _allow(request)

    def _is_asked(self) -> bool:
        probe = {"metadata": {"name": "probe"}, "spec": {"ports": [{"port": 1}]}}
        status, _ = self._api.ask("POST", f"/api/v1/namespaces/{self._namespace}/services?dryRun=All", probe)
        return status == 403

    def _make_configuration(self) -> Body:
        rules = [
            {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
            for group, resource in (("", "services"), ("apps", "deployments"))
        ]
        hook = {
            "name": self.name,
            "clientConfig": {
                "url": f"https://127.0.0.1:{self._http.server_address[1]}/admit",
                "caBundle": base64.b64encode(self._authority).decode(),
            },
            "rules": rules,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "failurePolicy": "Fail",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        return {"metadata": {"name": self.name}, "webhooks": [hook]}

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.asked += 1
                response = {"uid": review["request"]["uid"], **webhook._answer(review["request"])}
                data = json.dumps({**review, "response": response, "request": None}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: the API server hangs up when it has waited long enough."""


def _allow(_: Body) -> Body:
    return {"allowed": True}


def _patch(*operations: Body) -> Body:
    encoded = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}
