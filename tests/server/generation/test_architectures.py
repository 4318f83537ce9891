"""Answers equal those of Transformers' own generate, for each architecture, alone and together, whole and in parts."""

import queue

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmi_api.launch import Device, LogLevel, Precision
from llmi_server.engine.protocol import LoadWatcher
from llmi_server.errors import StartupError
from llmi_server.generation import flat_grid, flat_model, packed_linear
from llmi_server.generation.engine_loop import EngineLoop
from llmi_server.generation.loading import load_engine
from llmi_server.generation.messages import EngineSettings, StepDone, Submit
from llmi_server.generation.request import Job, Sampling
from llmi_server.settings import LogFormat
from llmi_testing.models import CAUSAL, small_causal_model

torch.set_num_threads(1)  # small tensors: a team of threads only waits for itself
WAYS = {"gemma2": "cached", "mamba": "cached", "llama": "flat", "qwen2": "flat", "qwen3": "flat"}
TOKENS = 24


class Silent(LoadWatcher):
    def enter_phase(self, name): ...
    def predict(self, *, memory_bytes, by_precision, weights): ...
    def expect(self, total_bytes): ...
    def read(self, count): ...


def load(folder, **changes):
    values = {
        "folder": str(folder),
        "precision": Precision.AUTO,
        "device": Device.CPU,
        "threads": 1,
        "max_batch_tokens": 8192,
        "max_input_tokens": None,
        "max_output_tokens": None,
        "max_sequences": 8,
        "kv_cache_bytes": None,
        "log_level": LogLevel.INFO,
        "log_format": LogFormat.TEXT,
    }
    return load_engine(EngineSettings(**(values | changes)), watcher=Silent())


def generate(ready, jobs):
    """Compute jobs in the engine's own loop; returns their tokens."""
    commands, reports = queue.SimpleQueue(), []
    for job in jobs:
        commands.put(Submit(job))
    left = len(jobs)

    def report(step: StepDone):
        nonlocal left
        reports.append(step)
        left -= sum(token.finish is not None for token in step.chosen) + len(step.failed)
        if not left:
            commands.put(None)

    EngineLoop(model=ready.way.model, scheduler=ready.scheduler, commands=commands, report=report).run()
    assert not any(step.failed for step in reports)
    answers = {job.key: [] for job in jobs}
    for step in reports:
        for token in step.chosen:
            answers[token.key].append(token.token)
    return [answers[job.key] for job in jobs]


def prompts(count=5):
    generator = torch.Generator().manual_seed(4)
    lengths = [1, 7, 30, 150, 200][:count]
    return [torch.randint(5, 260, (length,), generator=generator).tolist() for length in lengths]


def greedy_jobs(texts):
    return [
        Job(key=key, prompt=tuple(text), max_tokens=TOKENS, sampling=Sampling(temperature=0))
        for key, text in enumerate(texts)
    ]


def expected(folder, texts):
    model = AutoModelForCausalLM.from_pretrained(folder)
    answers = []
    for text in texts:
        inputs = torch.tensor([text])
        result = model.generate(
            inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=TOKENS, do_sample=False, use_cache=True
        )
        answers.append(result[0, len(text) :].tolist())
    return answers


@pytest.mark.parametrize("architecture", CAUSAL)
def test_greedy_answers_are_those_of_transformers(architecture):
    folder = small_causal_model(architecture)
    wanted = expected(folder, prompts())
    ready = load(folder)
    assert ready.loaded.path == WAYS.get(architecture, "batched")
    assert generate(ready, greedy_jobs(prompts())) == wanted


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3", "gpt2"])
def test_they_stay_so_on_a_processor_that_we_have_no_kernels_for(monkeypatch, architecture):
    for module in (packed_linear, flat_grid, flat_model):
        monkeypatch.setattr(module, "find_kernels", lambda: None)
    folder = small_causal_model(architecture)
    wanted = expected(folder, prompts())
    ready = load(folder)
    assert ready.loaded.path == WAYS.get(architecture, "batched")
    assert generate(ready, greedy_jobs(prompts())) == wanted


def test_they_stay_so_when_beginnings_are_reused_and_rows_are_scarce():
    folder = small_causal_model("llama")
    texts = prompts()
    follow = [[*text, 11, 12, 13] for text in texts]
    wanted = expected(folder, follow)
    ready = load(folder, max_sequences=2)
    generate(ready, greedy_jobs(texts))
    assert generate(ready, greedy_jobs(follow)) == wanted


def test_they_stay_so_when_memory_makes_answers_wait_for_each_other():
    folder = small_causal_model("qwen2")
    wanted = expected(folder, prompts())
    bytes_per_token = 2 * 2 * 2 * 16 * 4
    ready = load(folder, kv_cache_bytes=600 * bytes_per_token)
    assert generate(ready, greedy_jobs(prompts())) == wanted


def test_a_seeded_answer_is_the_same_alone_and_among_others():
    ready = load(small_causal_model("qwen3"))
    sampling = Sampling(temperature=0.8, top_p=0.9, seed=77)
    job = Job(key=0, prompt=tuple(prompts()[2]), max_tokens=TOKENS, sampling=sampling)
    alone = generate(ready, [job])[0]
    others = [
        Job(key=key, prompt=tuple(text), max_tokens=TOKENS, sampling=Sampling(seed=key))
        for key, text in enumerate(prompts(), start=1)
    ]
    assert generate(ready, [*others, job])[-1] == alone


def test_too_little_memory_for_one_text_is_refused_with_both_numbers():
    with pytest.raises(StartupError, match=r"need \d+ MiB beside the model and \d+ MiB are free") as caught:
        load(small_causal_model("llama"), kv_cache_bytes=1000)
    assert "maxOutputTokens" in caught.value.failure.next


def test_a_limit_that_leaves_no_room_is_refused():
    with pytest.raises(StartupError, match="leaves no room within the model's 512"):
        load(small_causal_model("llama"), max_input_tokens=512)
