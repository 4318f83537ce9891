"""Who is computed next: submit, next_step, fold_back; cancel. No clock, no threads, no model."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llmi_server.generation.grid_limits import GridLimits
from llmi_server.generation.request import Job
from llmi_server.generation.rows import Rows
from llmi_server.generation.steps import Copy, FinishReason, Layout, Outcome, Relayout, Slice, Step


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much of prompts is computed in one step.

    Attributes:
        alone_tokens: While no answer is being generated.
        beside_tokens: While answers are: small, so that they do not stall.
        whole_prompts: Whether the model takes prompts only as a whole, each from its beginning.
        mixes: Whether it takes prompts and answers in one pass without padding.
    """

    alone_tokens: int
    beside_tokens: int
    whole_prompts: bool = False
    mixes: bool = False


@dataclass
class _Text:
    """A job in progress; `computed` of its tokens have keys and values in its row."""

    job: Job
    arrival: int
    tokens: list[int] = field(default_factory=list)
    row: int = -1
    computed: int = 0
    started: bool = False

    @property
    def todo(self) -> int:
        return len(self.tokens) - self.computed

    def begins(self) -> bool:
        """Say whether this is the first time that it is asked."""
        begins, self.started = not self.started, True
        return begins


class Scheduler:
    """Decides which texts run, in which rows, and how far prompts are computed in a step.

    Jobs begin in the order of their arrival. Each step computes one more token of every answer, and a bounded part of
    the prompts that have just come. Where the grid has no room for all answers to grow, the youngest gives way and is
    computed anew later; the oldest always has room, so every job ends.
    """

    def __init__(self, limits: GridLimits, pace: Pace, *, stop_tokens: Iterable[int]) -> None:
        self._limits = limits
        self._pace = pace
        self._stop_tokens = frozenset(stop_tokens)
        self._waiting: deque[_Text] = deque()
        self._running: dict[int, _Text] = {}
        self._rows = Rows()
        self._arrivals = 0
        self.layout = Layout(rows=0, capacity=0)

    @property
    def waiting(self) -> int:
        """Number of jobs that have no row."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of jobs that have one."""
        return len(self._running)

    @property
    def used_share(self) -> float:
        """Share of the grid's memory that running texts use."""
        return sum(text.computed for text in self._running.values()) / self._limits.budget_tokens

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._waiting.append(_Text(job=job, arrival=self._arrivals, tokens=list(job.prompt)))
        self._arrivals += 1

    def cancel(self, key: int) -> None:
        """Forget a job; unknown ones are ignored."""
        text = self._running.pop(key, None)
        if text is not None:
            self._rows.release(text.row, text.tokens[: text.computed])
        else:
            self._waiting = deque(waiting for waiting in self._waiting if waiting.job.key != key)

    def abandon(self) -> list[int]:
        """Forget all running jobs and everything in the grid; returns the jobs."""
        keys = list(self._running)
        self._running.clear()
        self._rows = Rows(self.layout.rows)
        return keys

    def next_step(self) -> Step | None:
        """Return what to compute now, or None if there is nothing."""
        relayout = self._fit_running()
        admitted: list[_Text] = []
        copies: list[Copy] = []
        while self._waiting:
            layout = self._room_for(self._waiting[0], may_change=relayout is None and not admitted)
            if layout is None:
                break
            relayout = relayout if layout == self.layout else self._change(layout)
            text = self._waiting.popleft()
            copies += self._place(text)
            admitted.append(text)
        if not self._running:
            return None
        return Step(
            relayout=relayout,
            copies=tuple(copies),
            passes=self._passes(),
            started=tuple(text.job.key for text in admitted if text.begins()),
            reused_tokens=sum(text.computed for text in admitted),
        )

    def fold_back(self, step: Step, chosen: Mapping[int, int]) -> list[Outcome]:
        """Note what a step computed.

        Args:
            step: The step.
            chosen: The token chosen for each slice that samples, by job.
        """
        outcomes = []
        for part in (part for group in step.passes for part in group):
            text = self._running[part.key]
            text.computed += len(part.tokens)
            if part.samples:
                outcomes.append(self._extend(text, chosen[part.key]))
        return outcomes

    def _extend(self, text: _Text, token: int) -> Outcome:
        text.tokens.append(token)
        finish = None
        if token in self._stop_tokens:
            finish = FinishReason.STOP
        elif len(text.tokens) - len(text.job.prompt) >= text.job.max_tokens:
            finish = FinishReason.LENGTH
        if finish is not None:
            self.cancel(text.job.key)
        return Outcome(key=text.job.key, token=token, finish=finish)

    def _fit_running(self) -> Relayout | None:
        """Make room for one more token of every running text; the youngest give way where there is none."""
        longest = max((len(text.tokens) for text in self._running.values()), default=0)
        if longest <= self.layout.capacity:
            return None
        layout = self._limits.layout_for(longest)
        youngest = sorted(self._running.values(), key=lambda text: text.arrival)[layout.rows :]
        for text in reversed(youngest):
            self.cancel(text.job.key)
            text.row, text.computed = -1, 0
            self._waiting.appendleft(text)
        return self._change(layout)

    def _room_for(self, text: _Text, *, may_change: bool) -> Layout | None:
        """Return the shape in which a waiting text has a row beside those that have one, or None."""
        longest = max(len(text.tokens), *(len(other.tokens) for other in self._running.values()), 0)
        if len(self._running) < self.layout.rows and longest <= self.layout.capacity:
            return self.layout
        layout = self._limits.layout_for(longest)
        return layout if may_change and len(self._running) < layout.rows else None

    def _change(self, layout: Layout) -> Relayout:
        """Give the grid another shape and the running texts their new rows."""
        kept = self._rows.reshape(layout, {text.row: text.computed for text in self._running.values()})
        places = {row: place for place, (row, _) in enumerate(kept)}
        for text in self._running.values():
            text.row = places[text.row]
        self.layout = layout
        return Relayout(layout=layout, kept=kept)

    def _place(self, text: _Text) -> list[Copy]:
        """Give a text a row, one that begins alike if there is one, and return what must be copied before."""
        reusable = 0 if self._pace.whole_prompts else len(text.tokens) - 1
        busy = {other.row: other.tokens[: other.computed] for other in self._running.values()}
        text.row, text.computed, copy = self._rows.take(text.tokens[:reusable], busy)
        self._running[text.job.key] = text
        return [copy] if copy else []

    def _passes(self) -> tuple[tuple[Slice, ...], ...]:
        answers = [text for text in self._running.values() if text.todo == 1]
        prompts = sorted((text for text in self._running.values() if text.todo > 1), key=lambda text: text.arrival)
        budget = self._pace.beside_tokens if answers else self._pace.alone_tokens
        groups = [self._prompt_pass(prompts, budget), [_slice(text, 1) for text in answers]]
        if self._pace.mixes:
            groups = [[part for group in groups for part in group]]
        return tuple(tuple(group) for group in groups if group)

    def _prompt_pass(self, prompts: list[_Text], budget: int) -> list[Slice]:
        """Take the oldest prompt, and those after it that fit beside it into one rectangle."""
        if not prompts:
            return []
        if self._pace.whole_prompts:
            return [_slice(prompts[0], prompts[0].todo)]
        width = min(prompts[0].todo, budget)
        together = [text for text in prompts if 2 * text.todo >= width][: max(1, budget // width)]
        return [_slice(text, min(text.todo, width)) for text in together]


def _slice(text: _Text, count: int) -> Slice:
    end = text.computed + count
    return Slice(
        key=text.job.key,
        row=text.row,
        start=text.computed,
        tokens=tuple(text.tokens[text.computed : end]),
        samples=end == len(text.tokens),
    )
