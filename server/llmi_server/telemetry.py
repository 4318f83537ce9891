"""Metrics, in a registry of their own. Labels take values from closed sets only."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder

from llmi_api.metric_names import IN_FLIGHT_METRIC, RUNNING_METRIC, WAITING_METRIC
from llmi_server.engine_time import EngineTime

OPERATIONS = frozenset({"chat", "completions", "embeddings", "kserve", "rerank", "task", "models", "page", "other"})
INFERENCE = {
    "chat": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "kserve": "kserve",
    "rerank": "rerank",
    "task": "task",
}
"""Operations that are inference, and what OpenTelemetry's conventions for generative AI call them, where they do."""

TOKEN_TYPES = ("input", "prompt", "reused", "generated")
"""Tokens of encoders' inputs; of prompts, computed and known already; of answers."""

HANDLINGS = ("truncated", "windowed")
"""What was done with texts that were too long, and answered; those refused are among the rejections."""

DRIFT_MEASURES = ("mean_cosine", "min_cosine", "same_best", "largest_difference")
"""Embeddings have the first two, all else the others."""

REJECTIONS = frozenset({"queue_full", "not_ready", "draining", "deadline", "too_long", "invalid", "access"})

Exemplar = Mapping[str, str] | None
"""The trace that a measurement is an example of, told to scrapers that negotiate OpenMetrics."""

_REQUEST_SECONDS = tuple(round(0.01 * 2**power, 2) for power in range(14))
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_FIRST_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30)
_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_GEN_AI_LABELS = ("gen_ai_operation_name", "model_name")
_FIRST_ERROR = 400
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Telemetry:
    """Every metric of the server."""

    def __init__(self, model_name: str = "") -> None:
        self._model_name = model_name
        self.registry = CollectorRegistry()
        self.requests = self._counter("llmi_requests", "Answered requests.", "operation", "code")
        self.rejected = self._counter("llmi_rejected", "Refused requests by reason.", "reason")
        self.tokens = self._counter("llmi_tokens", "Tokens, padding not counted.", "type")
        self.long_inputs = self._counter(
            "llmi_long_inputs", "Texts longer than the model takes that were answered, by what was done.", "handling"
        )
        self.requests_running = self._gauge(RUNNING_METRIC, "Requests that the engine has begun.")
        self.requests_waiting = self._gauge(WAITING_METRIC, "Requests that wait for the engine.")
        self.requests_in_flight = self._gauge(
            IN_FLIGHT_METRIC, "Both together, for autoscalers that ask for one number."
        )
        self.queue_seconds = self._histogram("llmi_request_queue_seconds", "Wait for the engine.", _SECONDS)
        self.batch_size = self._histogram("llmi_batch_size", "Texts in a batch.", _SIZES)
        self.busy_seconds = self._counter(
            "llmi_engine_busy_seconds", "Time in which the engine computed; its rate is the share of time."
        )
        self.memory_peak = self._gauge(
            "llmi_memory_peak_bytes", "Most memory that the server's processes have held, mapped files included."
        )
        self.kv_cache_usage = self._gauge("llmi_kv_cache_usage_ratio", "Share of the keys' and values' memory in use.")
        self.load_seconds = self._gauge("llmi_model_load_seconds", "Time from start to ready.")
        self.ready = self._gauge("llmi_model_ready", "1 once the model answers, 0 before and while draining.")
        self.drift = Gauge(
            "llmi_precision_drift",
            "How far answers are from those in float32, measured at the start where precision is int8.",
            ["measure"],
            registry=self.registry,
        )
        self.build = Info("llmi_build", "Version, engine, model and how it runs.", registry=self.registry)
        self.duration = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from the arrival of a request for inference to its answer.",
            _REQUEST_SECONDS,
            *_GEN_AI_LABELS,
            "error_type",
        )
        self.first_token_seconds = self._histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from a prompt to its first token.",
            _FIRST_TOKEN_SECONDS,
            *_GEN_AI_LABELS,
        )
        self.token_seconds = self._histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time between tokens of an answer.",
            _TOKEN_SECONDS,
            *_GEN_AI_LABELS,
        )
        for kind in TOKEN_TYPES:
            self.tokens.labels(kind)
        for handling in HANDLINGS:
            self.long_inputs.labels(handling)
        for reason in REJECTIONS:
            self.rejected.labels(reason)
        self.engine_time = EngineTime()

    def request_done(self, *, operation: str, code: int, seconds: float, exemplar: Exemplar = None) -> None:
        """Count an answered request."""
        self.requests.labels(operation, str(code)).inc()
        if (name := INFERENCE.get(operation)) is not None:
            error = str(code) if code >= _FIRST_ERROR else ""
            self.duration.labels(name, self._model_name, error).observe(seconds, _given(exemplar))

    def requests_counted(self, *, running: int, waiting: int) -> None:
        """Show how many requests the engine has begun, and how many wait for it."""
        self.requests_running.set(running)
        self.requests_waiting.set(waiting)
        self.requests_in_flight.set(running + waiting)

    def request_begun(self, *, waited_seconds: float, exemplar: Exemplar = None) -> None:
        """Count a request that the engine begins."""
        self.queue_seconds.observe(waited_seconds, _given(exemplar))

    def first_token(self, operation: str, seconds: float, exemplar: Exemplar = None) -> None:
        """Count the first token of an answer."""
        self.first_token_seconds.labels(operation, self._model_name).observe(seconds, _given(exemplar))

    def next_token(self, operation: str, seconds: float) -> None:
        """Count a token after the first."""
        self.token_seconds.labels(operation, self._model_name).observe(seconds)

    def batch_computed(self, *, texts: int, tokens: int) -> None:
        """Count a batch that the engine begins."""
        self.batch_size.observe(texts)
        self.tokens.labels("input").inc(tokens)

    def engine_computed(self, seconds: float) -> None:
        """Count time in which the engine computed, until now."""
        self.busy_seconds.inc(seconds)
        self.engine_time.add(seconds)

    def forget_warm_up(self) -> None:
        """Begin to count time in which the engine computes: no client asked for what was before."""
        self.busy_seconds.reset()
        self.engine_time.start_anew()

    def drift_measured(self, values: Mapping[str, float | None]) -> None:
        """Show how far answers are from those in float32."""
        for measure in DRIFT_MEASURES:
            if (value := values.get(measure)) is not None:
                self.drift.labels(measure).set(value)

    def long_inputs_answered(self, *, truncated: int, windowed: int) -> None:
        """Count texts of an answered request that were too long."""
        self.long_inputs.labels("truncated").inc(truncated)
        self.long_inputs.labels("windowed").inc(windowed)

    def step_done(
        self, *, texts: int, prompt_tokens: int, reused_tokens: int, generated_tokens: int, used_share: float
    ) -> None:
        """Count a step of text generation."""
        self.batch_size.observe(texts)
        self.tokens.labels("prompt").inc(prompt_tokens)
        self.tokens.labels("reused").inc(reused_tokens)
        self.tokens.labels("generated").inc(generated_tokens)
        self.kv_cache_usage.set(used_share)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the best format of those that a scraper accepts, and that format's media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


def _given(exemplar: Exemplar) -> dict[str, str] | None:
    return dict(exemplar) if exemplar else None
