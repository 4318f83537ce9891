import pytest

import engines_on_cluster as bench
from load import Answer, Outcome

METRICS = """\
# HELP nv_inference_count Number of inferences
nv_inference_count{model="one",version="1"} 30
nv_inference_count{model="two",version="1"} 12
nv_inference_count_of_another 5
llmi_batch_size_sum 7.5
"""


def block(seconds, batch):
    answers = [Answer(tokens=100, seconds=seconds, first_seconds=seconds)] * 4
    return bench.Block(Outcome(answers=answers, seconds=4 * seconds, probe_seconds=[]), batch)


@pytest.mark.parametrize(("metric", "value"), [("nv_inference_count", 42), ("llmi_batch_size_sum", 7.5), ("none", 0)])
def test_a_metric_is_added_up_over_its_labels(metric, value):
    assert bench.sum_of(metric, METRICS) == value


def test_the_table_compares_within_each_round():
    rounds = [{"naive": block(1, None), "triton": block(0.5, 4)}, {"naive": block(3, None), "triton": block(1, 6)}]
    table = bench.show(rounds, {"naive": "A", "triton": "T"}).splitlines()
    assert table[2] == "| A | 67 | 1.00 (1.00 to 1.00) | 2000 ms | 2000 ms | 1 |"
    assert table[3] == "| T | 150 | 2.50 (2.00 to 3.00) | 750 ms | 750 ms | 5.0 |"


def test_the_obvious_program_fits_into_a_resource():
    assert all(len(word) <= 1024 for word in bench.naive_command())
