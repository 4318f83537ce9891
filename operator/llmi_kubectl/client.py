"""The API server as the plugin sees it: reads only, with the rights and the kubeconfig of whoever runs it."""

import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from llmi_kubectl.errors import AbsentError, Exit, PluginError, RefusedError
from llmi_operator.kinds import Kind

Object = dict[str, Any]
_PAGE = "500"
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
_ENDLESS = aiohttp.ClientTimeout(total=None, sock_connect=10)
_LONGEST_LINE = 2**20


class Client:
    """Reads objects and logs.

    Attributes:
        namespace: The one that the kubeconfig's context names.
    """

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    @classmethod
    async def connect(cls, kubeconfig: str | None, context: str | None) -> Self:
        """Log in as kubectl would.

        Raises:
            PluginError: There is no kubeconfig, or it cannot be used.
        """
        configuration = Configuration()
        # kubectl goes through the environment's proxies too.
        configuration.client_session_kwargs = {"trust_env": True}
        try:
            contexts, active = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
        except (config.ConfigException, OSError, ValueError) as error:
            raise PluginError(
                f"The kubeconfig cannot be used ({error}): see whether kubectl get llminference works, and correct "
                "--kubeconfig, --context or KUBECONFIG.",
                Exit.BAD_USAGE,
            ) from error
        chosen = next((item for item in contexts if item["name"] == context), active)
        client = ApiClient(configuration)
        client.user_agent = "kubectl-llminference"
        return cls(client, chosen["context"].get("namespace") or "default")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Read one object.

        Raises:
            AbsentError: It does not exist.
            PluginError: It cannot be read.
        """
        return await self._read(f"get {kind.plural} in the namespace {namespace}", kind.path(namespace, name), {})

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> list[Object]:
        """Read all objects of a kind, in a namespace or, without one, in the cluster.

        Raises:
            PluginError: They cannot be read.
        """
        where = f"in the namespace {namespace}" if namespace else "of the whole cluster"
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": _PAGE}
        items: list[Object] = []
        while True:
            page = await self._read(f"list {kind.plural} {where}", kind.path(namespace), query)
            # The items of a listing do not say what they are.
            items += [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in page.get("items") or ()]
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return items
            query["continue"] = more

    async def read_log(
        self, kind: Kind, namespace: str, pod: str, *, container: str, tail: int, follow: bool
    ) -> AsyncIterator[str]:
        """Read the last lines of a container, and on as they come.

        Raises:
            PluginError: They cannot be read.
        """
        query = {"container": container, "tailLines": str(tail), "follow": "true" if follow else ""}
        path = kind.path(namespace, pod, "log")
        response = await self._ask(path, query, timeout=_ENDLESS if follow else _TIMEOUT)
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _explain(response.status, await response.read(), f"read the log of {pod}")
        try:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace")
                if len(rest) > _LONGEST_LINE:
                    yield rest.decode(errors="replace")
                    rest = b""
            if rest:
                yield rest.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        finally:
            response.close()

    async def _read(self, what: str, path: str, query: Mapping[str, str]) -> Object:
        response = await self._ask(path, query, timeout=_TIMEOUT)
        try:
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise _explain(response.status, data, what)
        return _decode(data)

    async def _ask(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> aiohttp.ClientResponse:
        pairs = [(key, value) for key, value in query.items() if value]
        try:
            request = await self._client.param_serialize(
                "GET",
                path,
                query_params=pairs,
                header_params={"Accept": "application/json, */*"},
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=timeout)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        answer: aiohttp.ClientResponse = response.response
        return answer

    def _unreachable(self, error: Exception) -> PluginError:
        host = self._client.configuration.host
        return PluginError(
            f"The API server at {host} does not answer ({type(error).__name__}: {error}): see whether kubectl version "
            "reaches it."
        )


def _explain(status: int, data: bytes, what: str) -> PluginError:
    message = str(_decode(data).get("message") or data[:300].decode(errors="replace")).strip().rstrip(".")
    if status == HTTPStatus.FORBIDDEN:
        return RefusedError(f"You may not {what} ({message}): ask whoever administers the cluster for that right.")
    if status == HTTPStatus.UNAUTHORIZED:
        return RefusedError(f"The API server does not know you ({message}): log in anew.")
    if status == HTTPStatus.NOT_FOUND:
        return AbsentError(f"{message[:1].upper()}{message[1:]}.")
    return PluginError(f"The API server did not {what} ({status}: {message}).")


def _decode(data: bytes) -> Object:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
