"""What vLLM wrote last, as a sentence: the samples are what vLLM 0.32 wrote, on GPUs in the words of its source."""

from pathlib import Path

import pytest
import yaml

from llmi_operator.plan.engines import ENGINES
from llmi_operator.status.pods import Situation
from llmi_operator.status.rules import compute_finding
from llmi_testing.inference import DEFAULTS, make_resource
from llmi_testing.observations import NOW, container, end, observed, pod

SAMPLES = yaml.safe_load((Path(__file__).parent / "vllm_last_words.yaml").read_text())


def explain(words, code=1, name="vllm"):
    resource = make_resource("bert", task="text-generation", engine={"name": name})
    state = container(waiting_reason="CrashLoopBackOff", last=end(code, words), restarts=1)
    return compute_finding(observed(pod("bert-1-a", server=state)), Situation(resource, DEFAULTS, NOW))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_a_known_failure_is_told_with_what_to_do(sample):
    finding = explain(sample["words"])
    assert finding.reason == sample["reason"]
    assert finding.sentence == sample["says"]


def test_every_symptom_has_a_sample():
    matched = {
        next(symptom for symptom in ENGINES["vllm"].symptoms if symptom.words.search(sample["words"]))
        for sample in SAMPLES
    }
    assert matched == set(ENGINES["vllm"].symptoms)


def test_an_unknown_failure_says_so_and_shows_the_last_line():
    finding = explain("INFO loading\nAssertionError: duplicate block\n", code=1)
    assert finding.reason == "CrashLoop"
    assert "ended with exit code 1 (AssertionError: duplicate block)" in finding.sentence


def test_the_words_of_one_engine_say_nothing_of_another():
    assert explain(SAMPLES[0]["words"], name="transformers").reason == "CrashLoop"
