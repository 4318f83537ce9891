"""The administrator's view of a real API server, in process: kubectl costs a tenth of a second of a core each time."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmi_testing.apiserver import ApiServer

Body = dict[str, Any]
GROUPS = {
    "llminferences": "/apis/llminference.dev/v1alpha1",
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "poddisruptionbudgets": "/apis/policy/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "leases": "/apis/coordination.k8s.io/v1",
}
"""Where kinds are that are not in the core group."""
CHILD_KINDS = (
    "deployments",
    "services",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
    "networkpolicies",
    "serviceaccounts",
    "configmaps",
    "persistentvolumeclaims",
)
"""Kinds among which children of an LLMInference may be; more than there are does no harm."""
_MERGE, _JSON = "application/merge-patch+json", "application/json"


class Api:
    """Short words for what tests do; one connection for each thread."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._local = threading.local()
        self._connections: list[http.client.HTTPSConnection] = []
        self._context = ssl.create_default_context(cafile=str(server.folder / "ca.crt"))
        self._context.load_cert_chain(server.folder / "admin.crt", server.folder / "admin.key")

    def get(self, kind: str, namespace: str, name: str) -> Body | None:
        """Read an object; None when there is none."""
        status, body = self.ask("GET", path(kind, namespace, name))
        return body if status == http.HTTPStatus.OK else None

    def need(self, kind: str, namespace: str, name: str) -> Body:
        """Read an object that must exist."""
        body = self.get(kind, namespace, name)
        assert body is not None, f"there is no {kind} {namespace}/{name}"
        return body

    def uid(self, kind: str, namespace: str, name: str) -> str | None:
        """Which object has a name now."""
        body = self.get(kind, namespace, name)
        return body["metadata"]["uid"] if body else None

    def list(self, kind: str, namespace: str = "", selector: str = "") -> list[Body]:
        """Read all objects of a kind."""
        status, body = self.ask("GET", path(kind, namespace) + (f"?labelSelector={selector}" if selector else ""))
        return list(body.get("items") or []) if status == http.HTTPStatus.OK else []

    def create(self, kind: str, namespace: str, body: Body) -> Body:
        """Create an object that must not exist."""
        status, answer = self.ask("POST", path(kind, namespace), body)
        assert status == http.HTTPStatus.CREATED, answer
        return answer

    def patch(self, kind: str, namespace: str, name: str, change: Body, subresource: str = "") -> Body:
        """Merge a change."""
        status, answer = self.ask("PATCH", path(kind, namespace, name, subresource), change, _MERGE)
        assert status == http.HTTPStatus.OK, answer
        return answer

    def delete(self, kind: str, namespace: str, name: str, propagation: str = "Background") -> None:
        """Delete an object, there or not."""
        self.ask("DELETE", path(kind, namespace, name), {"propagationPolicy": propagation})

    def children(self, owner: Body) -> dict[tuple[str, str], Body]:
        """Every object that an object is the controller of, by kind and name."""
        uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
        return {
            (kind, body["metadata"]["name"]): body
            for kind in CHILD_KINDS
            for body in self.list(kind, namespace)
            if any(
                item.get("controller") and item["uid"] == uid for item in body["metadata"].get("ownerReferences", ())
            )
        }

    def ask(self, method: str, where: str, body: Body | None = None, content_type: str = _JSON) -> tuple[int, Body]:
        """Ask anything; once more when the connection had been closed meanwhile."""
        data = json.dumps(body) if body is not None else None
        headers = {"Accept": _JSON, "Content-Type": content_type}
        for attempt in (1, 2):
            connection = self._connect()
            try:
                connection.request(method, where, data, headers)
                answer = connection.getresponse()
                return answer.status, _read(answer.read())
            except (http.client.HTTPException, OSError):
                self._local.connection = None
                connection.close()
                if attempt == 2:
                    raise
        raise AssertionError

    def _connect(self) -> http.client.HTTPSConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            address = urlsplit(self._server.url)
            connection = http.client.HTTPSConnection(
                address.hostname or "", address.port, context=self._context, timeout=30
            )
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Close all connections; no thread uses it any more."""
        for connection in self._connections:
            connection.close()


def path(kind: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Path of a collection, an object or a subresource."""
    scope = f"/namespaces/{namespace}" if namespace else ""
    tail = "".join(f"/{word}" for word in (name, subresource) if word)
    return f"{GROUPS.get(kind, '/api/v1')}{scope}/{kind}{tail}"


def _read(data: bytes) -> Body:
    try:
        body = json.loads(data)
    except ValueError:
        return {"message": data[:300].decode(errors="replace")}
    return body if isinstance(body, Mapping) else {}
