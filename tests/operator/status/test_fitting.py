"""Whether a model fits, as it is said before its weights are loaded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi_api.readiness import ReadinessReport, Stage
from llmi_api.v1alpha1 import LLMInferenceStatus, MemoryStatus, PrecisionMemory
from llmi_operator.observed import Needs, Requirement
from llmi_operator.status.fitting import (
    find_certain_devices,
    find_devices,
    find_likely_devices,
    refuse_weights,
    warn_before_scheduling,
    warn_of_memory,
)
from llmi_testing.inference import DEFAULTS, make_resource
from llmi_testing.observations import observed, pod
from llmi_testing.situations import gpus, node

GIB = 2**30
SIZES = {"float32": 4 * GIB, "bfloat16": 2 * GIB, "int8": GIB}
LIMIT = {"resources": {"limits": {"memory": "1536Mi"}}}


def warning(sizes=SIZES, **spec):
    report = ReadinessReport(stage=Stage.FETCHING, phase="download", predicted_by_precision=sizes)
    return warn_of_memory(report, make_resource(**{**LIMIT, **spec}), DEFAULTS)


def test_what_will_not_fit_is_told_with_needed_limit_and_what_to_do():
    assert warning(engine={"precision": "float32"}) == (
        "It will not fit: it needs about 4096 MiB in float32 and the memory limit is 1536 MiB. "
        "Raise spec.resources.limits.memory, or set spec.engine.precision to int8 (1024 MiB)."
    )


@pytest.mark.parametrize(("task", "precision"), [("fill-mask", "bfloat16"), ("text-generation", "float32")])
def test_auto_is_taken_for_the_least_that_it_can_come_to(task, precision):
    assert f"in {precision}" in warning(task=task)


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"precision": "int8"}},
        {"resources": {"limits": {"memory": "8Gi"}}},
        {"accelerator": {"resource": "nvidia.com/gpu"}},
        {"sizes": {}},
    ],
)
def test_nothing_is_said_where_it_fits_or_is_not_known(spec):
    assert warning(**spec) == ""


def test_where_no_precision_fits_only_more_memory_helps():
    assert warning({"bfloat16": 2 * GIB}).endswith("Raise spec.resources.limits.memory.")


L4 = node("l4", more=gpus(4), labels={"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"})
T4 = node("t4", more=gpus(1), labels={"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360"})
UNKNOWN = node("dark", more=gpus(1))
LARGE = {"float32": 80 * GIB, "bfloat16": 40 * GIB}
ONE = Needs(requests=gpus(1))
VLLM = {"engine": {"name": "vllm"}, "task": "text-generation"}


def on_gpus(accelerator=None, **spec):
    return make_resource(accelerator=accelerator or {}, **spec)


def placed_on(one, **spec):
    return find_devices(on_gpus(**spec), pod(node=one.name, needs=ONE), (L4, T4, UNKNOWN))


def test_a_replica_on_a_node_has_what_that_node_has():
    assert placed_on(L4).describe() == "1 x NVIDIA-L4 with 23034 MiB (nvidia.com/gpu.memory)"
    assert placed_on(UNKNOWN) is None
    unread = node("new", more=gpus(1))
    assert placed_on(unread) is None
    assert placed_on(unread, accelerator={"products": ["NVIDIA-L4"]}).total == 24 * GIB


def test_the_weights_alone_are_refused_with_the_arithmetic_and_what_would_do():
    assert refuse_weights(on_gpus(), LARGE, placed_on(L4)) == (
        "The model's weights alone take 40960 MiB in bfloat16, and a replica gets 1 x NVIDIA-L4 with 23034 MiB "
        "(nvidia.com/gpu.memory) (OutOfMemory). Name a device with more memory in spec.accelerator.products, or choose "
        "a smaller model."
    )


def test_a_smaller_precision_is_named_where_it_would_do():
    sizes = {"float32": 30 * GIB, "bfloat16": 15 * GIB}
    sentence = refuse_weights(on_gpus(engine={"precision": "float32"}), sizes, placed_on(L4))
    assert "Set spec.engine.precision to bfloat16 (15360 MiB), name a device with more memory" in sentence


def test_only_vllm_spreads_a_model_over_devices():
    two = {"count": 2}
    assert placed_on(L4, accelerator=two).total == 23034 * 2**20
    spread = placed_on(L4, accelerator=two, **VLLM)
    assert (spread.count, spread.total) == (2, 2 * 23034 * 2**20)
    assert refuse_weights(on_gpus(two, **VLLM), LARGE, spread) == ""
    assert "raise spec.accelerator.count to 2" in refuse_weights(on_gpus(**VLLM), LARGE, placed_on(L4, **VLLM))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--quantization", "fp8"], ["-q=fp8"], ["--cpu-offload-gb", "40"], ["--cpu_offload_gb=40"], ["-tp", "4"],
        ["--pipeline-parallel-size=2"], ["--load-format", "bitsandbytes"], ["--dtype", "float8"],
        ["--hf-overrides", "{}"],
    ],
)  # fmt: skip
def test_with_flags_by_which_vllm_reckons_otherwise_nothing_is_known(arguments):
    assert placed_on(L4, task="text-generation", engine={"name": "vllm", "args": arguments}) is None
    assert placed_on(L4, task="text-generation", engine={"name": "vllm", "args": ["--max-num-seqs", "8"]}) is not None


def test_of_other_engines_and_of_claimed_devices_nothing_is_known():
    custom = {"name": "custom", "image": "example.com/x", "command": ["x"], "port": 8080, "healthPath": "/"}
    assert placed_on(L4, engine=custom) is None
    assert placed_on(L4, accelerator={"dra": {"deviceClassName": "gpu.nvidia.com"}}) is None


def test_a_replica_without_a_node_may_get_the_best_of_those_that_it_may_use():
    likely = find_likely_devices(on_gpus(), ONE, (L4, T4, node("plain")))
    assert likely.memory.device == "NVIDIA-L4"
    tainted = node("l4", more=gpus(1), labels=dict(L4.labels), taint="spot")
    assert find_likely_devices(on_gpus(), ONE, (tainted, T4)).memory.device == "Tesla-T4"
    assert find_likely_devices(on_gpus(), ONE, (L4, UNKNOWN)) is None
    assert find_likely_devices(on_gpus(), ONE, ()) is None


def test_only_what_the_spec_excludes_is_certain():
    """A node with a larger device may come for a replica that waits, unless products keep it off."""
    assert find_certain_devices(on_gpus(), ONE, (L4, T4)) is None
    small = find_certain_devices(on_gpus({"products": ["Tesla-T4"]}), ONE, (L4, T4))
    assert small.describe() == "1 x Tesla-T4 with at most 16384 MiB (by its name)"
    assert find_certain_devices(on_gpus({"products": ["Tesla-T4", "NVIDIA-L4"]}), ONE, ()).total == 24 * GIB
    assert find_certain_devices(on_gpus({"products": ["Tesla-T4", "NVIDIA-New"]}), ONE, (L4, T4)) is None
    sliced = find_certain_devices(on_gpus({"resource": "nvidia.com/mig-1g.10gb"}), ONE, ())
    assert sliced.total == 10 * GIB
    assert "Name a larger slice in spec.accelerator.resource" in refuse_weights(
        on_gpus({"resource": "nvidia.com/mig-1g.10gb"}), LARGE, sliced
    )


def test_a_product_that_no_table_knows_is_known_by_the_nodes_that_have_it():
    new = node("new", more=gpus(1), labels={"nvidia.com/gpu.product": "NVIDIA-New", "nvidia.com/gpu.memory": "1024"})
    needs = Needs(requests=gpus(1), places=((Requirement("nvidia.com/gpu.product", "In", ("NVIDIA-New",)),),))
    assert find_certain_devices(on_gpus({"products": ["NVIDIA-New"]}), needs, (L4, new)).total == GIB


def test_half_the_bits_take_the_same_in_both_formats():
    half = on_gpus(engine={"precision": "float16"})
    assert "40960 MiB in float16" in refuse_weights(half, LARGE, placed_on(L4))


def test_what_fits_by_its_weights_alone_is_only_warned_of():
    tight = {"bfloat16": 23 * GIB}
    report = ReadinessReport(stage=Stage.FETCHING, phase="download", predicted_by_precision=tight)
    assert warn_of_memory(report, on_gpus(), DEFAULTS, placed_on(L4)) == (
        "It will not fit: it needs about 23552 MiB in bfloat16 and a replica gets 1 x NVIDIA-L4 with 23034 MiB "
        "(nvidia.com/gpu.memory). Name a device with more memory in spec.accelerator.products, or choose a smaller "
        "model."
    )


def test_a_replica_that_waits_for_a_node_is_warned_of_by_what_an_earlier_one_told_of_the_same_files():
    sizes = PrecisionMemory(bfloat16=40 * GIB)
    waits = observed(pod(needs=ONE, model="a/b@main"), nodes=(T4,))
    said = LLMInferenceStatus(memory=MemoryStatus(model="a/b@main", by_precision=sizes))
    assert warn_before_scheduling(on_gpus(), waits, said).startswith("It will not fit: it needs about 40960 MiB")
    other = LLMInferenceStatus(memory=MemoryStatus(model="a/b@v2", by_precision=sizes))
    assert warn_before_scheduling(on_gpus(), waits, other) == ""
    assert warn_before_scheduling(on_gpus(), waits, LLMInferenceStatus()) == ""


@given(
    sizes=st.dictionaries(st.sampled_from(["float32", "bfloat16", "float16", "int8"]), st.integers(0, 2**50)),
    precision=st.sampled_from(["auto", "float32", "bfloat16", "float16"]),
    count=st.integers(1, 64),
    mebibytes=st.integers(1, 2**20),
    vllm=st.booleans(),
)
def test_nothing_that_fits_is_ever_refused_and_what_is_refused_is_larger(sizes, precision, count, mebibytes, vllm):
    spec = {"task": "text-generation", "engine": {"precision": precision, **({"name": "vllm"} if vllm else {})}}
    resource = on_gpus({"count": count}, **spec)
    one = node("one", more=gpus(64), labels={"nvidia.com/gpu.memory": str(mebibytes)})
    devices = find_devices(resource, pod(node="one", needs=ONE), (one,))
    used = "bfloat16" if precision == "auto" else precision
    needed = sizes.get(used, sizes.get("bfloat16") if used == "float16" else None)
    total = mebibytes * 2**20 * (count if vllm else 1)
    assert bool(refuse_weights(resource, sizes, devices)) == (needed is not None and needed > total)
