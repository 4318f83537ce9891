"""The API itself, over TLS: for the API server, and for the kubelet's probes."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from llmi_api.metric_names import IN_FLIGHT_METRIC
from llmi_operator.cluster.client import ApiCluster
from llmi_operator.errors import ClusterError
from llmi_operator.kinds import POD
from llmi_operator.metrics_api.documents import (
    EVERY_POD,
    GROUP,
    ROOT,
    Question,
    list_resources,
    list_values,
    parse_path,
    refuse,
)
from llmi_operator.metrics_api.front_proxy import FrontProxy
from llmi_operator.metrics_api.metrics import REGISTRY
from llmi_operator.metrics_api.pods import choose_targets
from llmi_operator.metrics_api.scrape import Scraper

HEALTH = frozenset({"/livez", "/readyz"})
METRICS = "/metrics"


@dataclass(frozen=True)
class MetricsApi:
    """What answers a question.

    Attributes:
        port: At which pods tell their metrics.
    """

    cluster: ApiCluster
    scraper: Scraper
    proxy: FrontProxy
    port: int

    async def answer(self, question: Question, selector: str) -> web.Response:
        """Say what is in flight in the pods that are asked about."""
        if question.metric != IN_FLIGHT_METRIC:
            return _say_no(HTTPStatus.NOT_FOUND, f"There is no metric {question.metric}: only {IN_FLIGHT_METRIC}.")
        try:
            pods, _ = await self.cluster.list(POD, question.namespace, selector=selector)
        except ClusterError as error:
            return _say_no(error.status or HTTPStatus.SERVICE_UNAVAILABLE, f"The pods cannot be listed: {error}")
        values = await self.scraper.ask(choose_targets(pods, self.port, question.pod))
        if not values and question.pod != EVERY_POD:
            message = f"{question.namespace}/{question.pod} is no running replica that tells {IN_FLIGHT_METRIC}."
            return _say_no(HTTPStatus.NOT_FOUND, message)
        return web.json_response(list_values(question.namespace, values, datetime.now(UTC)))


async def start_server(api: MetricsApi, context: ssl.SSLContext, host: str, port: int) -> web.AppRunner:
    """Serve discovery, values, health and the adapter's own metrics."""

    async def answer(request: web.Request) -> web.Response:
        question = parse_path(request.path)
        if question is not None:
            return await api.answer(question, request.query.get("labelSelector", ""))
        if request.path.rstrip("/") == ROOT:
            return web.json_response(list_resources())
        return _say_no(HTTPStatus.NOT_FOUND, f"Nothing is served at {request.path}: only pods/{IN_FLIGHT_METRIC}.")

    async def say_ok(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def tell_metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(middlewares=[_make_guard(api.proxy)])
    health = (web.get(path, say_ok) for path in sorted(HEALTH))
    app.add_routes([*health, web.get(METRICS, tell_metrics), web.get("/{path:.*}", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host or None, port, ssl_context=context).start()
    return runner


def _make_guard(proxy: FrontProxy) -> Middleware:
    """Let nobody but the API server ask: it knows who the asker is, and whether they may. Of itself it tells all."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        if request.path in HEALTH | {METRICS} or proxy.is_it(certificate):
            return await handler(request)
        return _say_no(HTTPStatus.UNAUTHORIZED, f"Ask the API server for {GROUP}; it passes your request on.")

    return guard


def _say_no(status: int, message: str) -> web.Response:
    return web.json_response(refuse(status, message), status=status)
