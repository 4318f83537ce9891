"""The API server as the operator sees it: a protocol, and the real thing over ``kubernetes.aio``."""

import json
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from llmi_api import labels
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import EVENT, INFERENCE, LEASE, Kind
from llmi_operator.metrics import REQUESTS
from llmi_operator.store import trim
from llmi_operator.tracing.spans import Span, calling

logger = logging.getLogger(__name__)
Object = dict[str, Any]

HANDOVER_MANAGER = f"{labels.FIELD_MANAGER}-handover"
"""Takes ``spec.replicas`` over when autoscaling is switched on, and nothing else, ever."""
_APPLY = "application/apply-patch+yaml"
_PAGE = 500
_LOGIN_SECONDS = 1.0
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)


class Cluster(Protocol):
    """What the operator asks of the API server. Every method raises `ClusterError` when refused."""

    async def is_served(self, kind: Kind) -> bool:
        """Whether the API server knows the kind."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Read one object; None when it does not exist."""

    async def list(self, kind: Kind, namespace: str = "") -> tuple[list[Object], str]:
        """Read all objects of a kind that concern us, and the resource version of the listing."""

    async def apply(self, kind: Kind, manifest: Object, *, manager: str = labels.FIELD_MANAGER) -> Object:
        """Server-side apply, forced; the caller has checked that the object is ours."""

    async def apply_status(self, manifest: Object) -> Object:
        """Server-side apply of the status of an LLMInference."""

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, version: str) -> None:
        """Delete the object with this uid as it was at this resource version; one that is gone already is fine."""

    async def post_event(self, event: Object) -> None:
        """Create a Kubernetes Event."""

    async def create_lease(self, lease: Object) -> Object:
        """Create a Lease."""

    async def replace_lease(self, lease: Object) -> Object:
        """Replace a Lease if nobody changed it meanwhile."""


class ApiCluster:
    """The real API server.

    Attributes:
        may_write: Asked before every write but those of the lease; a replica that has lost it must not even begin.
        answering_since: Since when every request has been answered; None while they are not.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._logged_in_at = time.monotonic()
        self.may_write: Callable[[], bool] = lambda: True
        self.answering_since: float | None = None

    @classmethod
    async def connect(cls, user_agent: str) -> "ApiCluster":
        """Log in with the pod's service account, or else with the kubeconfig."""
        client = ApiClient(await _log_in())
        client.user_agent = user_agent
        return cls(client)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def is_served(self, kind: Kind) -> bool:
        """Whether the API server knows the kind."""
        path = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        try:
            answer = await self._call("get", kind, path)
        except ClusterError as error:
            if error.is_absent:
                return False
            raise
        return any(item["name"] == kind.plural for item in answer.get("resources", []))

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Read one object; None when it does not exist."""
        try:
            return await self._call("get", kind, kind.path(namespace, name), namespace=namespace, name=name)
        except ClusterError as error:
            if error.is_absent:
                return None
            raise

    async def list(self, kind: Kind, namespace: str = "", *, selector: str = "") -> tuple[list[Object], str]:
        """Read all objects of a kind that concern us, page by page; a selector narrows that further."""
        selectors = ",".join(filter(None, (kind.label_selector, selector)))
        query = {"labelSelector": selectors, "fieldSelector": kind.field_selector, "limit": str(_PAGE)}
        items: list[Object] = []
        while True:
            page = await self._call("list", kind, kind.path(namespace), namespace=namespace, query=query)
            # At once: thousands of objects with their managed fields would be the most memory that is ever needed.
            items += [trim(kind, item) for item in page.get("items") or ()]
            more = page["metadata"].get("continue")
            if not more:
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = more

    async def apply(self, kind: Kind, manifest: Object, *, manager: str = labels.FIELD_MANAGER) -> Object:
        """Server-side apply, forced; the caller has checked that the object is ours."""
        return await self._apply(kind, manifest, manager=manager)

    async def apply_status(self, manifest: Object) -> Object:
        """Server-side apply of the status of an LLMInference."""
        return await self._apply(INFERENCE, manifest, manager=labels.FIELD_MANAGER, subresource="status")

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, version: str) -> None:
        """Delete the object with this uid as it was at this resource version; one that is gone already is fine."""
        preconditions = {"uid": uid, "resourceVersion": version}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
        try:
            await self._call(
                "delete", kind, kind.path(namespace, name), method="DELETE", namespace=namespace, name=name, body=body
            )
        except ClusterError as error:
            if not error.is_absent:
                raise

    async def post_event(self, event: Object) -> None:
        """Create a Kubernetes Event."""
        await self._create(EVENT, event)

    async def create_lease(self, lease: Object) -> Object:
        """Create a Lease."""
        return await self._create(LEASE, lease)

    async def replace_lease(self, lease: Object) -> Object:
        """Replace a Lease if nobody changed it meanwhile (its resourceVersion is in it)."""
        namespace, name = lease["metadata"]["namespace"], lease["metadata"]["name"]
        return await self._call(
            "update", LEASE, LEASE.path(namespace, name), method="PUT", namespace=namespace, name=name, body=lease
        )

    async def _create(self, kind: Kind, body: Object) -> Object:
        namespace = body["metadata"]["namespace"]
        name = body["metadata"].get("name", "")
        return await self._call(
            "create", kind, kind.path(namespace), method="POST", namespace=namespace, name=name, body=body
        )

    async def _apply(self, kind: Kind, manifest: Object, *, manager: str, subresource: str = "") -> Object:
        namespace, name = manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]
        return await self._call(
            "apply",
            kind,
            kind.path(namespace, name, subresource),
            method="PATCH",
            namespace=namespace,
            name=name,
            body=manifest,
            query={"fieldManager": manager, "force": "true"},
            content_type=_APPLY,
        )

    async def _call(
        self,
        verb: str,
        kind: Kind,
        path: str,
        *,
        method: str = "GET",
        namespace: str = "",
        name: str = "",
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        def failed(status: int, reason: str, message: str, retry_after: float | None = None) -> ClusterError:
            return ClusterError(
                verb=verb, kind=kind.name, namespace=namespace, name=name,
                status=status, reason=reason, message=message, retry_after=retry_after,
            )  # fmt: skip

        if method != "GET" and kind != LEASE and not self.may_write():
            raise failed(0, "NotLeading", "the lease is not ours any more")
        try:
            with calling(f"{verb} {kind.name}", _describe(method, path, kind, namespace, name)) as span:
                response, answer = await self._send(
                    span, method, path, query=query or {}, body=body, content_type=content_type
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            REQUESTS.labels(verb=verb, kind=kind.name, status="none").inc()
            self.answering_since = None
            raise failed(0, "Unreachable", f"{type(error).__name__}: {error}") from error
        REQUESTS.labels(verb=verb, kind=kind.name, status=str(response.status)).inc()
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.answering_since = None
        elif self.answering_since is None:
            self.answering_since = time.monotonic()
        if response.status == HTTPStatus.UNAUTHORIZED:
            await self._log_in_again()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise failed(
                response.status,
                str(answer.get("reason", "")),
                str(answer.get("message", "")),
                _read_seconds(response.headers.get("Retry-After")),
            )
        return answer

    async def _send(
        self,
        span: Span | None,
        method: str,
        path: str,
        *,
        query: dict[str, str],
        body: Object | None,
        content_type: str,
    ) -> tuple[Any, Object]:
        """Send one request; the span says which, and what came of it."""
        request = await self._client.param_serialize(
            method,
            path,
            query_params=[(key, value) for key, value in query.items() if value],
            header_params={
                "Accept": "application/json",
                "Content-Type": content_type,
                **(span.headers if span is not None else {}),
            },
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self._client.call_api(*request, _request_timeout=_TIMEOUT)
        answer = _decode(await response.read())  # type: ignore[no-untyped-call]
        if span is not None:
            span.note({"http.response.status_code": response.status})
            # That something does not exist is an answer like others to whoever looks.
            refused = response.status >= HTTPStatus.BAD_REQUEST and (method, response.status) != ("GET", 404)
            span.end(error=str(response.status) if refused else None)
        return response, answer

    async def _log_in_again(self) -> None:
        """Read the credentials anew: the token has expired, and a new one lies where the old one did."""
        if time.monotonic() - self._logged_in_at < _LOGIN_SECONDS:
            return
        self._logged_in_at = time.monotonic()
        try:
            fresh = await _log_in()
        except (config.ConfigException, OSError, ValueError) as error:
            logger.warning("Could not read the credentials anew", extra={"error": str(error)})
            return
        configuration = self._client.configuration
        configuration.api_key, configuration.refresh_api_key_hook = fresh.api_key, fresh.refresh_api_key_hook


async def _log_in() -> Configuration:
    configuration = Configuration()
    # As kopf does: the API server is reached directly, proxies of the environment are for other things.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.proxy = None
    return configuration


def _describe(method: str, path: str, kind: Kind, namespace: str, name: str) -> dict[str, str]:
    """Describe a call under OpenTelemetry's names where it has some."""
    told = {"http.request.method": method, "url.path": path, "llmi.object.kind": kind.name}
    if namespace:
        told["k8s.namespace.name"] = namespace
    if name:
        told["llmi.object.name"] = name
    return told


def _decode(data: bytes) -> Object:
    try:
        answer = json.loads(data)
    except ValueError:
        # A proxy in between answers in text.
        return {"message": data[:200].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {}


def _read_seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None
