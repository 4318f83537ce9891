"""Measures our engine against ONNX Runtime on the same batches: ``make bench-onnx``.

Each engine is a process behind a pipe; one computes while the others wait. What is compared is the engine alone: no
queue, no HTTP, no tokenizer. ``make bench-peers`` installs ONNX Runtime. The table in docs/decisions/0034 comes from
here.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inputs import SPECIAL_TOKENS, encoder_texts
from llmi_testing.models import bert_large_classifier
from peers import is_installed, python_of

HERE = Path(__file__).resolve().parent
EXPORTED = HERE.parent / "build" / "bench" / "onnx"
CASES = {"one text": 1, "8 texts": 8, "32 texts": 32}
_FIRST_WORD, _LAST_WORD = 5, 30
_CLASSIFICATION_BEGIN, _CLASSIFICATION_END = 2, 3


@dataclass
class Engine:
    """One engine, and what it computed in each case: tokens a second, and a second of processor time."""

    process: subprocess.Popen[str]
    title: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    efforts: dict[str, list[float]] = field(default_factory=dict)

    def compute(self, batch: list[list[int]]) -> dict[str, Any]:
        """Send a batch and wait for its answer."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the engine has no pipes")
        self.process.stdin.write(json.dumps(batch) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def start(command: Sequence[str]) -> Engine:
    """Start an engine and wait until it is loaded.

    Raises:
        RuntimeError: It ended instead.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    for line in process.stdout or ():
        if line.startswith('{"engine"'):
            return Engine(process, json.loads(line)["engine"])
    raise RuntimeError(f"{command[1]} ended with status {process.wait()}")


def make_batch(texts: int, seed: int) -> list[list[int]]:
    """Return token ids of texts of ordinary lengths."""
    source = random.Random(seed)  # noqa: S311 - repeatable
    lengths = [text.tokens for text in encoder_texts(texts, seed=seed)]
    return [
        [
            _CLASSIFICATION_BEGIN,
            *(source.randint(_FIRST_WORD, _LAST_WORD) for _ in range(length - SPECIAL_TOKENS)),
            _CLASSIFICATION_END,
        ]
        for length in lengths
    ]


def compare(engines: list[Engine], rounds: int) -> float:
    """Have every engine compute the same batches in turn; returns the largest difference of a logit."""
    worst = 0.0
    for number in range(rounds + 1):
        for case, texts in CASES.items():
            batch = make_batch(texts, seed=number * len(CASES) + texts)
            answers = {engine.title: engine.compute(batch) for engine in random.sample(engines, len(engines))}
            first = answers[engines[0].title]["logits"]
            for engine in engines:
                answer = answers[engine.title]
                if number:  # the first round is warm-up
                    tokens = sum(map(len, batch))
                    engine.rates.setdefault(case, []).append(tokens / answer["seconds"])
                    engine.efforts.setdefault(case, []).append(tokens / answer["processor_seconds"])
                pairs = zip(first, answer["logits"], strict=True)
                worst = max(worst, *(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)))
    return worst


def main() -> None:
    """Print a table in tokens/s, the median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="of a BERT classifier (BERT-large's shape, random weights)")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not is_installed("onnx"):
        sys.exit("engine_choice: ONNX Runtime is not installed: make bench-peers")
    folder = str(options.folder or bert_large_classifier())
    other = [str(python_of("onnx")), str(HERE / "engines" / "onnx_runtime.py"), folder, str(EXPORTED)]
    subprocess.run([*other, "export"], check=True)
    engines = [
        start([sys.executable, str(HERE / "engines" / "ours.py"), folder]),
        *(start([*other, way]) for way in ("alone", "padded")),
    ]
    worst = compare(engines, options.rounds)
    print("| engine | " + " | ".join(CASES) + " |\n| --- |" + " --- |" * len(CASES))
    for engine in engines:
        pairs = ((statistics.median(engine.rates[case]), statistics.median(engine.efforts[case])) for case in CASES)
        print(f"| {engine.title} | " + " | ".join(f"{rate:.0f} ({effort:.0f})" for rate, effort in pairs) + " |")
    print(f"\ntokens/s (tokens for each second of processor time), median of {options.rounds} rounds;")
    print(f"logits differ by at most {worst:.1e}")
    for engine in engines:
        engine.process.terminate()


if __name__ == "__main__":
    main()
