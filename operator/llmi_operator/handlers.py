"""kopf's triggers. An event only says that something happened: it updates the store and asks for a pass."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import kopf

from llmi_operator import startup
from llmi_operator.kinds import Kind
from llmi_operator.startup import Context

LOGIN_PATIENCE = 5
"""Seconds for which a new token is awaited before the refused one is tried again."""


def register(registry: kopf.OperatorRegistry, kinds: Iterable[Kind]) -> None:
    """Register all handlers. The kinds must be served: kopf looks for them only once, and warns."""
    kopf.on.startup(registry=registry)(start)
    kopf.on.cleanup(registry=registry)(stop)
    kopf.on.login(registry=registry)(login)
    for kind in kinds:
        handler = partial(on_event, kind=kind)
        kopf.on.event(kind.group, kind.version, kind.plural, id=f"observe-{kind.plural}", registry=registry)(handler)


async def start(memo: Context, settings: kopf.OperatorSettings, **_: object) -> None:
    """Start the operator's own parts."""
    startup.configure_kopf(settings)
    await startup.start(memo)


async def stop(memo: Context, **_: object) -> None:
    """Stop the operator's own parts."""
    await startup.stop(memo)


async def login(memo: Context, **kwargs: Any) -> kopf.AiohttpSession | None:  # noqa: ANN401 - kopf decides what it passes
    """Log in as the pod's service account, or else by the kubeconfig; again whenever the API server knows us no more.

    kopf would try the same refused token again and again, or end; a new one takes a moment to arrive.
    """
    info = _read_credentials(**kwargs)
    for _ in range(LOGIN_PATIENCE):
        if info is None or info.as_http_headers() != memo.refused:
            break
        await asyncio.sleep(1)
        info = _read_credentials(**kwargs)
    if info is None:
        return None
    headers = info.as_http_headers()
    memo.refused = headers
    return kopf.AiohttpSession(
        server=info.server,
        default_namespace=info.default_namespace,
        aiohttp_session=memo.streams.make_session(info.as_ssl_context(), headers, memo.settings.user_agent),
    )


def _read_credentials(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - kopf decides what it passes
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


async def on_event(memo: Context, event: kopf.RawEvent, kind: Kind, **_: object) -> None:
    """Update the store and ask for a pass; the initial listing comes with type None and means: it exists."""
    body = event["object"]
    key = memo.store.drop(kind, body) if event["type"] == "DELETED" else memo.store.put(kind, body)
    if key is not None:
        memo.queue.add(key)
