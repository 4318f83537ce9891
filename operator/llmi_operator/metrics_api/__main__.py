"""The program: learn who the API server is, serve, and register where nobody else serves the group."""

import asyncio
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from importlib.metadata import version

from llmi_operator.cluster.client import ApiCluster
from llmi_operator.errors import ClusterError, SettingsError
from llmi_operator.kinds import API_SERVICE, CONFIG_MAP
from llmi_operator.logs import set_up_logging
from llmi_operator.metrics_api.certificate import LIFETIME, Certificate, make_certificate, make_context
from llmi_operator.metrics_api.front_proxy import CONFIG_NAME, CONFIG_NAMESPACE, FrontProxy, read_front_proxy
from llmi_operator.metrics_api.metrics import CERTIFICATE_EXPIRY
from llmi_operator.metrics_api.registration import (
    CLUSTER_ROLE,
    NAME,
    VERSIONS,
    find_other,
    is_ours,
    is_registered,
    make_api_service,
    make_name,
)
from llmi_operator.metrics_api.scrape import Scraper
from llmi_operator.metrics_api.server import MetricsApi, start_server
from llmi_operator.metrics_api.settings import AdapterSettings

logger = logging.getLogger("llmi_operator.metrics_api")
LOOK_SECONDS = 10.0
RETRY_SECONDS = 3.0
BAD_SETTINGS = 2


def main() -> None:
    """Serve until told to stop, or until a new certificate or another front proxy asks for a new start."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{version('llminference')}\n")
        return
    try:
        settings = AdapterSettings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"llmi_operator.metrics_api: {error}\n")
        sys.exit(BAD_SETTINGS)
    set_up_logging(settings.log_level, "auto", service=NAME)
    asyncio.run(run(settings))


async def run(settings: AdapterSettings) -> None:
    """Serve the group and keep it registered."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    cluster, scraper = await ApiCluster.connect(NAME), Scraper()
    try:
        proxy = await _wait_for_front_proxy(cluster, stop)
        if proxy is None:
            return
        certificate = make_certificate(f"{NAME}.{settings.namespace}.svc", datetime.now(UTC))
        CERTIFICATE_EXPIRY.set(certificate.expires.timestamp())
        api = MetricsApi(cluster, scraper, proxy, settings.pod_port)
        context = make_context(certificate, proxy.authority)
        runner = await start_server(api, context, settings.host, settings.port)
        try:
            await _keep_registered(cluster, settings.namespace, certificate, proxy, stop)
        finally:
            await runner.cleanup()
    finally:
        await scraper.close()
        await cluster.close()


async def _wait_for_front_proxy(cluster: ApiCluster, stop: asyncio.Event) -> FrontProxy | None:
    """Learn how the API server shows itself; None when we are to stop before."""
    while not stop.is_set():
        try:
            proxy = read_front_proxy(await cluster.get(CONFIG_MAP, CONFIG_NAMESPACE, CONFIG_NAME))
        except ClusterError as error:
            logger.warning("Cannot read how the API server shows itself", extra={"error": str(error)})
        else:
            if proxy is not None:
                return proxy
            logger.warning(
                "This API server passes no requests on: it needs --requestheader-client-ca-file",
                extra={"configMap": f"{CONFIG_NAMESPACE}/{CONFIG_NAME}"},
            )
        await _pause(stop, RETRY_SECONDS)
    return None


async def _keep_registered(
    cluster: ApiCluster, namespace: str, certificate: Certificate, proxy: FrontProxy, stop: asyncio.Event
) -> None:
    """See to the registration again and again; return when the process is to start anew."""
    told = ""
    while not stop.is_set():
        pause = LOOK_SECONDS
        try:
            if datetime.now(UTC) > certificate.expires - LIFETIME / 2:
                logger.info("Starting anew for a new certificate")
                return
            if read_front_proxy(await cluster.get(CONFIG_MAP, CONFIG_NAMESPACE, CONFIG_NAME)) != proxy:
                logger.info("Starting anew: the API server shows itself by other certificates")
                return
            state = await _register(cluster, namespace, certificate)
        except ClusterError as error:
            state, pause = f"Cannot register: {error}", RETRY_SECONDS
        if state != told:
            logger.info(state)
            told = state
        await _pause(stop, pause)


async def _register(cluster: ApiCluster, namespace: str, certificate: Certificate) -> str:
    """Register where the group is free or ours already; say how it stands."""
    there = {make_name(number): await cluster.get(API_SERVICE, "", make_name(number)) for number in VERSIONS}
    other = find_other(there, namespace)
    if other:
        mine = there[make_name()]
        if mine is not None and is_ours(mine, namespace):
            metadata = mine["metadata"]
            version = metadata["resourceVersion"]
            await cluster.delete(API_SERVICE, "", make_name(), uid=metadata["uid"], version=version)
        return f"Staying aside: {other}, and autoscalers go by that one"
    role = await cluster.get(CLUSTER_ROLE, "", NAME)
    if role is None:
        return f"Waiting for the ClusterRole {NAME}, which is to own the registration"
    manifest = make_api_service(namespace, role["metadata"]["uid"], certificate.public)
    if not is_registered(there[make_name()], manifest):
        await cluster.apply(API_SERVICE, manifest, manager=NAME)
    return "Registered"


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


if __name__ == "__main__":
    main()
