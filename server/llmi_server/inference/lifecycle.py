"""Where the server is in its life: loading, ready, draining; how far it is, and what it took."""

import logging
import time
from collections.abc import Mapping
from typing import Protocol, TypeVar

from llmi_api.readiness import ReadinessReport, Stage
from llmi_server.engine.protocol import ModelFacts
from llmi_server.errors import DrainingError, InvalidRequestError, NotReadyError
from llmi_server.logs import facts as log_facts
from llmi_server.machine import peak_memory_bytes

_ServiceT = TypeVar("_ServiceT")


class Service(Protocol):
    """What is served: encoders or generation."""

    @property
    def facts(self) -> ModelFacts:
        """What the loaded model says about itself."""
        ...

    def is_alive(self, *, stuck_after_seconds: float) -> bool:
        """Say whether the engine makes progress or is idle."""
        ...

    def device_memory_bytes(self) -> int | None:
        """Return the most memory that was in use on the model's device, if that is not the process's own."""
        ...

    def refuse_if_full(self) -> None:
        """Refuse a request whose body nobody need read.

        Raises:
            QueueFullError: As many requests wait as may wait.
        """
        ...

    def stop(self) -> None:
        """Fail whatever is not answered yet, and compute no more."""
        ...


class Lifecycle:
    """Holds the service once there is one, and says why there is none before and after.

    Written by the loading thread and by the signal handler, read by routes.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._phase: str | None = None
        self._phase_began = self._began
        self._service: Service | None = None
        self._read_began: float | None = None
        self._read_rate: float | None = None
        self.stage = Stage.LOADING
        self.phase_seconds: dict[str, float] = {}
        self.predicted_memory_bytes: int | None = None
        self.predicted_by_precision: dict[str, int] = {}
        self.weights_by_precision: dict[str, int] = {}
        self.total_bytes: int | None = None
        self.done_bytes = 0

    @property
    def phase(self) -> str:
        """Name of the phase that is going on."""
        return self._phase or self.stage

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.stage is Stage.READY

    @property
    def age_seconds(self) -> float:
        """Time since the process began its work."""
        return time.monotonic() - self._began

    def enter_phase(self, name: str) -> None:
        """Note that a phase of loading begins and the one before ended."""
        self.end_phase()
        self._phase, self._phase_began = name, time.monotonic()

    def predict(self, *, memory_bytes: int, by_precision: Mapping[str, int], weights: Mapping[str, int]) -> None:
        """Note how much memory the model will take, as its files tell."""
        self.predicted_memory_bytes, self.predicted_by_precision = memory_bytes, dict(by_precision)
        self.weights_by_precision = dict(weights)

    def expect(self, total_bytes: int) -> None:
        """Note how many bytes of weights are to be read, which begins now."""
        self.total_bytes, self.done_bytes, self._read_began = total_bytes, 0, time.monotonic()

    def read(self, count: int) -> None:
        """Note bytes of weights that were read."""
        self.done_bytes += count
        if self._read_began is not None:
            self._read_rate = round(self.done_bytes / max(time.monotonic() - self._read_began, 1e-6))

    def report(self) -> ReadinessReport:
        """Return what ``/readyz`` says: numbers, and nothing about the model's or the clients' content."""
        facts = self._service.facts if self._service else None
        return ReadinessReport(
            stage=self.stage,
            phase=self.phase,
            done_bytes=None if self.total_bytes is None else self.done_bytes,
            total_bytes=self.total_bytes,
            bytes_per_second=self._read_rate,
            phase_seconds=dict(self.phase_seconds),
            predicted_memory_bytes=self.predicted_memory_bytes,
            predicted_by_precision=self.predicted_by_precision,
            weights_by_precision=self.weights_by_precision,
            measured_memory_bytes=self.measured_memory_bytes(),
            device=facts and facts.device,
            precision=facts and facts.precision,
        )

    def measured_memory_bytes(self) -> int:
        """Return the most memory held so far: of the device if it has its own, else of the process."""
        on_device = self._service.device_memory_bytes() if self._service else None
        return peak_memory_bytes() if on_device is None else on_device

    def become_ready(self, service: Service) -> None:
        """Open for requests: a real answer has been produced."""
        self.end_phase()
        self._service = service
        if self.stage is Stage.LOADING:
            self.stage = Stage.READY
        logging.getLogger(__name__).info(
            "Model ready", extra=log_facts(seconds=round(self.age_seconds, 2), phases=self.phase_seconds)
        )

    def start_draining(self) -> None:
        """Close for new requests."""
        self.stage = Stage.DRAINING

    def abandon(self) -> None:
        """Fail whatever is not answered yet."""
        if self._service is not None:
            self._service.stop()

    def service(self, kind: type[_ServiceT]) -> _ServiceT:
        """Return the service.

        Raises:
            NotReadyError: The model is still being loaded.
            DrainingError: The server is shutting down.
            InvalidRequestError: The model's task is served by another kind.
            QueueFullError: As many requests wait as may wait: said before a body is read, so that it costs little.
        """
        if self.stage is Stage.DRAINING:
            raise DrainingError("The server is shutting down. Try another replica.")
        if self._service is None:
            raise NotReadyError(f"The model is being loaded (phase {self.phase}). Try again soon.")
        self._service.refuse_if_full()
        if not isinstance(self._service, kind):
            raise InvalidRequestError("This model's task is another.")
        return self._service

    def is_alive(self, *, stuck_after_seconds: float) -> bool:
        """Say whether the process works: it loads, it is idle, or it makes progress."""
        return self._service is None or self._service.is_alive(stuck_after_seconds=stuck_after_seconds)

    @property
    def loaded_service(self) -> Service | None:
        """The service in any stage, for reports."""
        return self._service

    def end_phase(self) -> None:
        """Note that the phase of loading that goes on, if any, ended."""
        if self._phase is not None:
            seconds = round(time.monotonic() - self._phase_began, 3)
            self.phase_seconds[self._phase] = seconds
            logging.getLogger(__name__).info("Phase done", extra=log_facts(phase=self._phase, seconds=seconds))
        self._phase = None
