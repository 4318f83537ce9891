"""Processor time of a generated token: our engine with eight texts at once against Transformers' generate, one by one.

``python bench/generation_processor_time.py`` computes on one thread and counts processor time, so that it can be run on
a busy machine; servers and clients are left out. `transformers serve` answers one request after another with generate.
"""

import json
import queue
import random
import time

import torch
from transformers import AutoModelForCausalLM

from llmi_api.launch import Device, LogLevel, Precision
from llmi_server.generation.engine_loop import EngineLoop
from llmi_server.generation.loading import Unwatched, load_engine
from llmi_server.generation.messages import Command, EngineSettings, StepDone, Submit
from llmi_server.generation.request import Job, Sampling
from llmi_server.settings import LogFormat
from llmi_testing.models import llama_134m

TEXTS, PROMPT, ANSWER = 8, 64, 32


def prompts() -> list[list[int]]:
    """Return the same prompts each time."""
    generator = random.Random(1)  # noqa: S311 - repeatable
    return [[generator.randrange(10, 49152) for _ in range(PROMPT)] for _ in range(TEXTS)]


def theirs(texts: list[list[int]]) -> float:
    """Return seconds of processor time that generate needs for all texts."""
    model = AutoModelForCausalLM.from_pretrained(llama_134m(), dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    began = time.process_time()
    for text in texts:
        inputs = torch.tensor([text])
        model.generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=ANSWER, do_sample=False)
    return time.process_time() - began


def ours(texts: list[list[int]]) -> float:
    """Return the same of our engine's loop."""
    settings = EngineSettings(
        folder=str(llama_134m()),
        precision=Precision.AUTO,
        device=Device.CPU,
        threads=1,
        max_batch_tokens=8192,
        max_input_tokens=None,
        max_output_tokens=None,
        max_sequences=32,
        kv_cache_bytes=None,
        log_level=LogLevel.INFO,
        log_format=LogFormat.TEXT,
    )
    ready = load_engine(settings, watcher=Unwatched())
    commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
    left = len(texts)

    def report(step: StepDone) -> None:
        nonlocal left
        left -= sum(token.finish is not None for token in step.chosen)
        if not left:
            commands.put(None)

    for key, text in enumerate(texts):
        sampling = Sampling(temperature=0)
        commands.put(Submit(Job(key=key, prompt=tuple(text), max_tokens=ANSWER, sampling=sampling)))
    loop = EngineLoop(model=ready.way.model, scheduler=ready.scheduler, commands=commands, report=report)
    began = time.process_time()
    loop.run()
    return time.process_time() - began


def main() -> None:
    """Print milliseconds of processor time for each token of an answer, its share of the prompt included."""
    torch.set_num_threads(1)
    few = 2
    per_token = {
        "generate, one by one": theirs(prompts()[:few]) / few / ANSWER,
        "engine, eight at once": ours(prompts()) / TEXTS / ANSWER,
    }
    figures = {name: round(seconds * 1000, 1) for name, seconds in per_token.items()}
    ratio = per_token["generate, one by one"] / per_token["engine, eight at once"]
    print(json.dumps({"processor_ms_per_token": figures, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
