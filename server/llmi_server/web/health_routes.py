"""Live, ready, status and metrics: always answered, without touching the model."""

import dataclasses
from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from llmi_api.readiness import ReadinessReport, Stage, Usage
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.machine import peak_memory_bytes, peak_memory_of_all_bytes
from llmi_server.schema.status import PrecisionDrift, ServerStatus
from llmi_server.settings import ServeSettings
from llmi_server.telemetry import Telemetry


def health_routes(lifecycle: Lifecycle, telemetry: Telemetry, settings: ServeSettings) -> APIRouter:
    """Return the routes that probes, Prometheus and people ask."""
    router = APIRouter(tags=["health"])
    stuck_after_seconds = max(120.0, 2.0 * settings.request_timeout_seconds)

    @router.head("/livez", include_in_schema=False)
    @router.get("/livez", response_class=PlainTextResponse)
    async def livez() -> Response:
        alive = lifecycle.is_alive(stuck_after_seconds=stuck_after_seconds)
        return PlainTextResponse("ok" if alive else "the engine is stuck", status_code=200 if alive else 500)

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", response_model=ReadinessReport, responses={503: {"model": ReadinessReport}})
    async def readyz() -> Response:
        report = lifecycle.report()
        ready = report.stage is Stage.READY
        headers = {} if ready else {"retry-after": "5"}
        if ready:
            report = report.model_copy(update={"usage": _sum_up(telemetry)})
        body = report.model_dump_json(exclude_none=True)
        return Response(body, status_code=200 if ready else 503, headers=headers, media_type="application/json")

    @router.head("/metrics", include_in_schema=False)
    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        telemetry.ready.set(lifecycle.is_ready)
        telemetry.memory_peak.set(peak_memory_of_all_bytes())
        content, media_type = telemetry.exposition(",".join(request.headers.getlist("accept")))
        return Response(content, headers={"content-type": media_type, "vary": "accept"})

    @router.get("/status")
    async def status() -> ServerStatus:
        return _describe(lifecycle, settings)

    return router


def _sum_up(telemetry: Telemetry) -> Usage:
    busy = telemetry.engine_time.read()
    return Usage(
        serving_seconds=round(busy.serving_seconds, 6),
        busy_seconds=round(busy.busy_seconds, 6),
        hour_busy_share=round(busy.hour_share, 6),
        minute_busy_share=round(busy.minute_share, 6),
        peak_memory_bytes=peak_memory_of_all_bytes(),
    )


def _describe(lifecycle: Lifecycle, settings: ServeSettings) -> ServerStatus:
    loaded = lifecycle.loaded_service
    facts = loaded.facts if loaded else None
    return ServerStatus(
        stage=lifecycle.stage,
        phase=lifecycle.phase,
        model=settings.model_name,
        task=settings.task,
        version=version("llminference"),
        age_seconds=round(lifecycle.age_seconds, 3),
        phase_seconds=dict(lifecycle.phase_seconds),
        peak_rss_bytes=peak_memory_bytes(),
        engine=facts and facts.engine,
        device=facts and facts.device,
        precision=facts and facts.precision,
        drift=PrecisionDrift(**dataclasses.asdict(facts.drift)) if facts and facts.drift else None,
        revision=facts and facts.revision,
        weight_bytes=facts and facts.weight_bytes,
        max_input_tokens=facts and facts.max_tokens,
        mask_token=facts and facts.mask_token,
        converses=facts and facts.converses,
    )
