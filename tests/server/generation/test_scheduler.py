"""Who is computed next, over a grid that is simulated: no model, no clock."""

import random

import pytest

from llmi_server.generation.grid_limits import GridLimits
from llmi_server.generation.request import Job, Sampling
from llmi_server.generation.scheduler import Pace, Scheduler
from llmi_server.generation.steps import FinishReason

STOP = 7


def make_scheduler(*, rows=4, row_tokens=1000, budget=None, alone=64, beside=16, whole_prompts=False, mixes=False):
    limits = GridLimits(max_rows=rows, max_row_tokens=row_tokens, budget_tokens=budget or rows * row_tokens)
    pace = Pace(alone_tokens=alone, beside_tokens=beside, whole_prompts=whole_prompts, mixes=mixes)
    return Scheduler(limits, pace, stop_tokens=[STOP])


def job(key, prompt, max_tokens=8):
    return Job(key=key, prompt=tuple(prompt), max_tokens=max_tokens, sampling=Sampling())


def finish(scheduler, token=50):
    """Run until nothing is left; returns all outcomes."""
    outcomes = []
    while (step := scheduler.next_step()) is not None:
        outcomes += fold(scheduler, step, token)
    return outcomes


def fold(scheduler, step, token=50):
    return scheduler.fold_back(step, {part.key: token for group in step.passes for part in group if part.samples})


def shapes(step):
    return [[(part.key, part.start, len(part.tokens)) for part in group] for group in step.passes]


def test_nothing_to_do_is_no_step():
    assert make_scheduler().next_step() is None


def test_an_answer_ends_at_its_limit_or_at_a_stop_token():
    scheduler = make_scheduler()
    scheduler.submit(job(1, range(10), max_tokens=3))
    assert [outcome.finish for outcome in finish(scheduler)] == [None, None, FinishReason.LENGTH]
    scheduler.submit(job(2, range(10), max_tokens=3))
    assert [outcome.finish for outcome in finish(scheduler, STOP)] == [FinishReason.STOP]


def test_a_model_that_mixes_gets_prompts_and_answers_in_one_pass():
    scheduler = make_scheduler(beside=16, mixes=True)
    scheduler.submit(job(1, range(10)))
    fold(scheduler, scheduler.next_step())
    scheduler.submit(job(2, range(100, 120)))
    assert shapes(scheduler.next_step()) == [[(2, 0, 16), (1, 10, 1)]]


def test_a_long_prompt_is_computed_in_parts_beside_running_answers():
    scheduler = make_scheduler(alone=64, beside=16)
    scheduler.submit(job(1, range(10), max_tokens=100))
    fold(scheduler, scheduler.next_step())
    scheduler.submit(job(2, range(100, 140)))
    steps = [scheduler.next_step()]
    fold(scheduler, steps[0])
    for _ in range(2):
        steps.append(scheduler.next_step())
        fold(scheduler, steps[-1])
    assert [shapes(step) for step in steps] == [
        [[(2, 0, 16)], [(1, 10, 1)]],
        [[(2, 16, 16)], [(1, 11, 1)]],
        [[(2, 32, 8)], [(1, 12, 1)]],
    ]


def test_prompts_that_come_together_share_a_pass():
    scheduler = make_scheduler(alone=64)
    for key in range(4):
        scheduler.submit(job(key, range(key * 100, key * 100 + 20)))
    assert shapes(scheduler.next_step()) == [[(0, 0, 20), (1, 0, 20), (2, 0, 20)]]


def test_jobs_begin_in_the_order_of_their_arrival():
    scheduler = make_scheduler(rows=1)
    for key in range(3):
        scheduler.submit(job(key, range(5), max_tokens=2))
    assert [outcome.key for outcome in finish(scheduler)] == [0, 0, 1, 1, 2, 2]


def test_a_cancelled_job_frees_its_row_before_the_next_step():
    scheduler = make_scheduler(rows=1)
    scheduler.submit(job(1, range(5)))
    scheduler.submit(job(2, range(50, 55)))
    fold(scheduler, scheduler.next_step())
    scheduler.cancel(1)
    assert scheduler.next_step().started == (2,)
    scheduler.cancel(3)


def test_what_a_row_knows_is_not_computed_again():
    scheduler = make_scheduler()
    scheduler.submit(job(1, range(100, 140), max_tokens=1))
    finish(scheduler)
    scheduler.submit(job(2, [*range(100, 140), 1, 2, 3], max_tokens=1))
    step = scheduler.next_step()
    assert step.reused_tokens == 40
    assert shapes(step) == [[(2, 40, 3)]]
    assert not step.copies


def test_a_running_text_lends_its_beginning():
    scheduler = make_scheduler()
    scheduler.submit(job(1, range(100, 140), max_tokens=50))
    fold(scheduler, scheduler.next_step())
    scheduler.submit(job(2, [*range(100, 130), 1, 2, 3]))
    step = scheduler.next_step()
    assert [(copy.source, copy.tokens) for copy in step.copies] == [(0, 30)]
    assert shapes(step)[0] == [(2, 30, 3)]


def test_a_prompt_that_is_known_whole_still_computes_its_last_token():
    scheduler = make_scheduler()
    for key in (1, 2):
        scheduler.submit(job(key, range(100, 140), max_tokens=1))
        step = scheduler.next_step()
        fold(scheduler, step)
    assert shapes(step) == [[(2, 39, 1)]]


def test_the_youngest_gives_way_when_memory_ends_and_is_answered_in_full_later():
    # Room for two texts of up to 512 tokens, or for a longer one.
    scheduler = make_scheduler(rows=4, row_tokens=600, budget=1100)
    scheduler.submit(job(1, range(180), max_tokens=400))
    scheduler.submit(job(2, range(1000, 1180), max_tokens=400))
    outcomes, gave_way = [], False
    while (step := scheduler.next_step()) is not None:
        gave_way = gave_way or (scheduler.running, scheduler.waiting) == (1, 1)
        outcomes += fold(scheduler, step)
    assert gave_way
    assert [sum(outcome.key == key for outcome in outcomes) for key in (1, 2)] == [400, 400]
    assert [outcome.key for outcome in outcomes if outcome.finish] == [1, 2]


def test_after_a_failure_nothing_of_the_grid_is_trusted():
    scheduler = make_scheduler()
    scheduler.submit(job(1, range(100, 140)))
    scheduler.next_step()
    assert scheduler.abandon() == [1]
    scheduler.submit(job(2, range(100, 140)))
    assert scheduler.next_step().reused_tokens == 0


class Simulation:
    """Plays engine and clients: keeps what each row of the grid holds, and checks every step against it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        longest = self.random.choice([64, 300, 1000])
        self.longest = longest
        self.budget = longest * self.random.randint(1, 4)
        self.whole_prompts = seed % 5 == 0
        self.scheduler = make_scheduler(
            rows=self.random.randint(1, 6),
            row_tokens=longest,
            budget=self.budget,
            alone=self.random.choice([8, 64, 512]),
            beside=self.random.choice([4, 32]),
            whole_prompts=self.whole_prompts,
        )
        self.beginnings = [[self.random.randint(10, 99) for _ in range(200)] for _ in range(3)]
        self.jobs, self.answers, self.grid, self.submitted = {}, {}, {}, 0

    def run(self):
        while True:
            if self.submitted < 40 and self.random.random() < 0.3:
                self.submit()
            if self.jobs and self.random.random() < 0.02:
                key = self.random.choice(list(self.jobs))
                self.scheduler.cancel(key)
                del self.jobs[key]
            step = self.scheduler.next_step()
            if step is not None:
                self.play(step)
            elif self.submitted == 40:
                assert not self.jobs
                return

    def submit(self):
        self.submitted += 1
        prompt = self.random.choice(self.beginnings)[: self.random.randint(1, self.longest // 2)]
        prompt = prompt + [self.random.randint(10, 99) for _ in range(self.random.randint(0, self.longest // 4))]
        prompt = prompt[: self.longest - 2]
        made = job(self.submitted, prompt, self.random.randint(1, self.longest - len(prompt)))
        self.scheduler.submit(made)
        self.jobs[made.key], self.answers[made.key] = made, []

    def play(self, step):
        layout = self.scheduler.layout
        assert layout.rows * layout.capacity <= max(self.budget, layout.capacity)
        if step.relayout is not None:
            assert all(len(self.grid.get(row, [])) >= tokens for row, tokens in step.relayout.kept)
            assert all(tokens <= layout.capacity for _, tokens in step.relayout.kept)
            assert len(step.relayout.kept) <= layout.rows
            self.grid = {
                place: self.grid.get(row, [])[:tokens] for place, (row, tokens) in enumerate(step.relayout.kept)
            }
        for copy in step.copies:
            assert len(self.grid[copy.source]) >= copy.tokens
            self.grid[copy.target] = self.grid[copy.source][: copy.tokens]
        parts = [part for group in step.passes for part in group]
        assert len({part.row for part in parts}) == len(parts)
        chosen = {part.key: self.random.choice([STOP, *range(10, 60)]) for part in parts if self.compute(part, layout)}
        for outcome in self.scheduler.fold_back(step, chosen):
            self.answers[outcome.key].append(outcome.token)
            if outcome.finish is not None:
                if outcome.finish is FinishReason.LENGTH:
                    assert len(self.answers[outcome.key]) == self.jobs[outcome.key].max_tokens
                del self.jobs[outcome.key]

    def compute(self, part, layout):
        text = [*self.jobs[part.key].prompt, *self.answers[part.key]]
        before = self.grid.get(part.row, [])[: part.start]
        assert before == text[: part.start]
        assert list(part.tokens) == text[part.start : part.start + len(part.tokens)]
        assert not (self.whole_prompts and len(part.tokens) > 1 and part.start)
        self.grid[part.row] = [*before, *part.tokens]
        assert part.row < layout.rows
        assert len(self.grid[part.row]) <= layout.capacity
        assert part.samples == (len(self.grid[part.row]) == len(text))
        return part.samples


@pytest.mark.parametrize("seed", range(60))
def test_whatever_comes_every_row_holds_what_its_text_needs_and_every_job_ends(seed):
    Simulation(seed).run()
