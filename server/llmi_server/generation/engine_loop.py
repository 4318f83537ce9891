"""The engine's loop: commands in, a step of the scheduler through the model, tokens out."""

import logging
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from llmi_server.generation.messages import Cancel, Command, StepDone, Submit, TokenChosen
from llmi_server.generation.sampling import Choice, Sampler
from llmi_server.generation.scheduler import Scheduler
from llmi_server.generation.sequence_model import SequenceModel
from llmi_server.generation.steps import Outcome, Slice, Step

_TOLERATED_FAILURES = 3
"""Failing steps in a row after which the model is given up."""


class EngineLoop:
    """Runs steps while there are jobs, and sleeps while there are none. One thread."""

    def __init__(
        self,
        *,
        model: SequenceModel,
        scheduler: Scheduler,
        commands: "queue.SimpleQueue[Command | None]",
        report: Callable[[StepDone], None],
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._commands = commands
        self._report = report
        self._sampler = Sampler()
        self._failures = 0

    def run(self) -> None:
        """Work until the server says no more (None among the commands), or the model fails again and again.

        Raises:
            RuntimeError: The model failed several times in a row.
        """
        while self._obey():
            step = self._scheduler.next_step()
            if step is not None:
                began = time.monotonic()
                done = self._take(step)
                self._report(replace(done, seconds=time.monotonic() - began))
            if self._failures >= _TOLERATED_FAILURES:
                raise RuntimeError("the model failed in several steps in a row")

    def _obey(self) -> bool:
        """Take all commands that are there; wait for one when there is nothing to do. False at the end."""
        idle = not (self._scheduler.running or self._scheduler.waiting)
        while True:
            try:
                command = self._commands.get(block=idle)
            except queue.Empty:
                return True
            idle = False
            if isinstance(command, Submit):
                self._sampler.begin(command.job)
                self._scheduler.submit(command.job)
            elif isinstance(command, Cancel):
                self._sampler.forget(command.key)
                self._scheduler.cancel(command.key)
            else:
                return False

    def _take(self, step: Step) -> StepDone:
        try:
            choices = self._compute(step)
        except Exception as error:
            logging.getLogger("llmi_server.generation").exception("Step failed")
            self._failures += 1
            return self._give_up_running(step, out_of_memory=isinstance(error, (torch.OutOfMemoryError, MemoryError)))
        self._failures = 0
        outcomes = self._scheduler.fold_back(step, {key: choice.token for key, choice in choices.items()})
        for outcome in outcomes:
            if outcome.finish is not None:
                self._sampler.forget(outcome.key)
        slices = [part for group in step.passes for part in group]
        return StepDone(
            started=step.started,
            chosen=tuple(_told(outcome, choices[outcome.key]) for outcome in outcomes),
            prompt_tokens=sum(len(part.tokens) for part in slices if len(part.tokens) > 1),
            reused_tokens=step.reused_tokens,
            texts=len(slices),
            running=self._scheduler.running,
            used_share=self._scheduler.used_share,
        )

    def _compute(self, step: Step) -> dict[int, Choice]:
        if step.relayout is not None:
            self._model.relayout(step.relayout)
        for copy in step.copies:
            self._model.copy(copy)
        choices: dict[int, Choice] = {}
        for group in step.passes:
            choices |= self._compute_pass(group)
        return choices

    def _compute_pass(self, slices: Sequence[Slice]) -> dict[int, Choice]:
        scores = self._model.compute(slices)
        keys = [part.key for part in slices if part.samples]
        return self._sampler.choose(scores, keys) if keys else {}

    def _give_up_running(self, step: Step, *, out_of_memory: bool) -> StepDone:
        """Fail every job that has a row: nobody knows what the rows hold now."""
        failed = self._scheduler.abandon()
        for key in failed:
            self._sampler.forget(key)
        return StepDone(started=step.started, failed=tuple(failed), out_of_memory=out_of_memory)


def _told(outcome: Outcome, choice: Choice) -> TokenChosen:
    return TokenChosen(
        key=outcome.key, token=outcome.token, finish=outcome.finish, logprob=choice.logprob, top=choice.top
    )
