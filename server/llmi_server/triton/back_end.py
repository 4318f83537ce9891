"""The one back end for all tasks: what Triton's Python back end calls, on the bundled server's models."""

import gc
import importlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from llmi_api.failure import FailureCode
from llmi_api.launch import Task, VerifyQuestion, short_name
from llmi_api.metric_names import RUNNING_METRIC
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import make_load_request
from llmi_server.engine.protocol import LoadedModel
from llmi_server.errors import InvalidRequestError, OutOfMemoryError, RequestError, StartupError
from llmi_server.inference.lifecycle import Lifecycle
from llmi_server.inference.preparing import build_task
from llmi_server.inference.service import RequestLimits
from llmi_server.inference.verify import verify
from llmi_server.inference.warm_up import warm_up
from llmi_server.logs import set_up_logs
from llmi_server.schema.hugging_face import default_parameters
from llmi_server.schema.kserve import INPUT, output_of, pack_values, without_protocol
from llmi_server.schema.request import validate_body
from llmi_server.settings import TritonSettings, read_settings
from llmi_server.tasks.task import TaskParameters
from llmi_server.tracing.start import start_tracing
from llmi_server.tracing.timeline import Timeline, describe_inference
from llmi_server.triton.answering import Answering, Question, unbounded_queue
from llmi_server.triton.channel import Channel

_TOOLS = "triton_python_backend_utils"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


class Request(Protocol):
    """A request as Triton hands it over."""

    def parameters(self) -> str:
        """Return its parameters as JSON."""
        ...

    def trace(self) -> "Traced":
        """Return what Triton traces of it."""
        ...


class Traced(Protocol):
    """A request's trace as Triton hands it over."""

    def get_context(self) -> str | None:
        """Return the headers that name Triton's span of the request, as JSON; nothing where it is not traced."""
        ...


class TritonPythonModel:
    """The name that Triton looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:  # noqa: ARG002 - Triton's signature
        """Load the model and answer something with it.

        Raises:
            StartupError: The model cannot be served, and why; Triton ends, and who watches over it tells why.
        """
        channel = Channel.from_environment()
        os.environ.update(_OFFLINE)
        self._tools: Any = importlib.import_module(_TOOLS)
        try:
            self._settings = read_settings(TritonSettings, (), os.environ)
            set_up_logs(self._settings.log_level, self._settings.log_format)
            lifecycle = _ToldLifecycle(channel)
            self._answering = open_for_requests(self._settings, lifecycle)
        except StartupError as error:
            channel.fail(error.failure)
            raise
        except Exception as error:
            logging.getLogger(__name__).exception("Loading failed")
            failed = StartupError(
                FailureCode.LOAD_FAILED,
                f"Starting failed: {type(error).__name__}: {str(error)[:300]}",
                next_step="See the log for the traceback.",
            )
            channel.fail(failed.failure)
            raise failed from error
        self._tracer = start_tracing(os.environ, model=self._settings.model_name, task=self._settings.task)
        operation = self._settings.task.value.replace("-", "_")
        self._describing = describe_inference(operation, self._settings.model_name)
        self._metrics = _make_metrics(self._tools)  # told as long as it lives
        self._running = self._metrics.Metric(labels={"model": short_name(self._settings.model_name)})
        gc.collect()
        gc.freeze()
        channel.ready(lifecycle.report())
        self._channel = channel  # open as long as this process lives

    def execute(self, requests: Sequence[Request]) -> list[Any]:
        """Answer what the dynamic batcher has put together."""
        self._running.set(len(requests))
        try:
            results = self._answering.answer([self._read(request) for request in requests])
            return [self._respond(result) for result in results]
        finally:
            self._running.set(0)

    def finalize(self) -> None:
        """Send the last spans."""
        if self._tracer is not None:
            self._tracer.stop()

    def _read(self, request: Request) -> Question | RequestError:
        try:
            tensor = self._tools.get_input_tensor_by_name(request, INPUT.name).as_numpy()
            texts = [_decode(item) for item in tensor.reshape(-1)]
            parameters = _read_parameters(request.parameters(), self._settings.task)
            return Question(texts, parameters, self._join_trace(request))
        except RequestError as error:
            return error

    def _join_trace(self, request: Request) -> Timeline | None:
        headers = request.trace().get_context() if self._tracer is not None else None
        span = self._tracer.join(json.loads(headers)) if self._tracer is not None and headers else None
        return None if span is None else Timeline(span, self._describing)

    def _respond(self, result: list[object] | RequestError) -> Any:  # noqa: ANN401 - Triton's own type
        if isinstance(result, RequestError):
            return self._tools.InferenceResponse(
                error=self._tools.TritonError(result.message, getattr(self._tools.TritonError, _code_of(result)))
            )
        output = output_of(self._settings.task)
        tensor = self._tools.Tensor(output.name, pack_values(output, result))
        return self._tools.InferenceResponse(output_tensors=[tensor])


def open_for_requests(settings: TritonSettings, lifecycle: Lifecycle) -> Answering:
    """Load the model, produce a first answer, and those that are expected.

    Raises:
        StartupError: The model cannot be served, and why.
    """
    loaded = load_model(make_load_request(settings), watcher=lifecycle)
    answering = _build_answering(loaded, settings)
    lifecycle.enter_phase("warm-up")
    parameters = default_parameters(settings.task)
    try:
        warm_up(
            task=build_task(loaded, settings),
            parameters=parameters.model_copy(update={"truncate": True}),
            compute=answering.compute,
            mask_token=loaded.codec.mask_token if settings.task is Task.FILL_MASK else None,
        )
    except RequestError as error:
        raise StartupError(
            FailureCode.LOAD_FAILED,
            f"The model was loaded and gave no answer: {error.message}",
            next_step="See the log for the traceback, and check the model's files.",
        ) from None
    if settings.verify:
        lifecycle.enter_phase("verify")

        async def ask(question: VerifyQuestion) -> str:
            return answering.brief(question.input, parameters)

        verify(ask, settings.verify)
    lifecycle.end_phase()
    return answering


def _make_metrics(tools: Any) -> Any:  # noqa: ANN401 - Triton's own types
    """Let Triton tell what it does not count itself; what waits, it counts."""
    return tools.MetricFamily(
        name=RUNNING_METRIC, description="Requests that the back end computes.", kind=tools.MetricFamily.GAUGE
    )


def _build_answering(loaded: LoadedModel, settings: TritonSettings) -> Answering:
    facts = loaded.engine.facts
    budget = unbounded_queue(
        max_batch_tokens=settings.max_batch_tokens,
        preferred_batch_tokens=facts.preferred_batch_tokens,
        padding_free=facts.padding_free,
    )
    bounds = RequestLimits(
        max_inputs=settings.max_inputs_per_request,
        max_tokens=settings.max_request_tokens,
        timeout_seconds=settings.request_timeout_seconds,
    )
    return Answering(task=build_task(loaded, settings), engine=loaded.engine, budget=budget, bounds=bounds)


class _ToldLifecycle(Lifecycle):
    """Tells who watches how far loading is."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def enter_phase(self, name: str) -> None:
        super().enter_phase(name)
        self._channel.report(self.report(), at_once=True)

    def read(self, count: int) -> None:
        super().read(count)
        self._channel.report(self.report(), at_once=False)


def _decode(item: object) -> str:
    if not isinstance(item, bytes):
        raise InvalidRequestError("The input holds something that is not a text.", param="inputs")
    try:
        return item.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError("A text is not valid UTF-8.", param="inputs") from None


def _read_parameters(text: str, task: Task) -> TaskParameters:
    given = json.loads(text) if text else {}
    return validate_body(type(default_parameters(task)), without_protocol(given))


def _code_of(error: RequestError) -> str:
    """Return the name of Triton's code: 400, 503 or 500 over HTTP."""
    if isinstance(error, InvalidRequestError):
        return "INVALID_ARG"
    if isinstance(error, OutOfMemoryError):
        return "UNAVAILABLE"
    return "INTERNAL"
