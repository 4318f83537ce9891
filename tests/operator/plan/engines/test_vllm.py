"""vLLM's variables that depend on the resource."""

import pytest

from llmi_operator.plan.engines.vllm import make_environment
from llmi_testing.inference import make_resource

BINDING, THREADS = "VLLM_CPU_OMP_THREADS_BIND", "OMP_NUM_THREADS"


def environment(**spec):
    engine = {"name": "vllm", **spec.pop("engine", {})}
    return make_environment(make_resource("chat", task="text-generation", engine=engine, **spec))


def test_replicas_on_one_node_do_not_bind_their_threads_to_the_same_cores():
    assert environment()[BINDING] == "nobind"


@pytest.mark.parametrize(("limit", "threads"), [("500m", "1"), ("2", "2"), ("2500m", "3")])
def test_there_are_as_many_threads_as_the_limit_has_cores(limit, threads):
    assert environment(resources={"limits": {"cpu": limit}})[THREADS] == threads


def test_without_a_limit_there_are_as_many_as_vllm_makes():
    assert THREADS not in environment(resources={"limits": {"memory": "8Gi"}})


def test_the_users_word_on_where_threads_run_stands():
    assert BINDING not in environment(engine={"env": [{"name": BINDING, "value": "0-3"}]})


def test_on_a_gpu_vllm_decides():
    assert BINDING not in environment(accelerator={"resource": "nvidia.com/gpu"})
