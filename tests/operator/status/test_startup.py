import dataclasses

from llmi_api.failure import Failure, FailureCode
from llmi_api.readiness import ReadinessReport, Stage
from llmi_api.v1alpha1 import LLMInferenceStatus, MemoryStatus, PrecisionMemory
from llmi_operator.status.startup import choose_whom_to_ask, compute_memory, compute_startup
from llmi_testing.inference import make_resource
from llmi_testing.observations import ago, condition, container, end, fetched, observed, pod, ready_pod, running
from llmi_testing.situations import gpus, node

NOTHING = LLMInferenceStatus()
BERT = make_resource()
PHASES = {"imports": 2.0, "weights": 3.5, "warm-up": 1.0}
DONE = ReadinessReport(
    stage=Stage.READY,
    phase="ready",
    phase_seconds=PHASES,
    predicted_memory_bytes=3 * 2**20 + 5,
    predicted_by_precision={"float32": 3 * 2**20 + 5, "int8": 2**20, "float4": 7},
    measured_memory_bytes=2**30,
)

LOADING = ReadinessReport(stage=Stage.LOADING, phase="weights", phase_seconds={"imports": 2.0})


def told(*pods, previous=NOTHING, resource=BERT, nodes=None):
    seen = observed(*pods, nodes=nodes)
    update = {"startup": compute_startup(seen, previous), "memory": compute_memory(resource, seen, previous)}
    return previous.model_copy(update=update)


def test_phases_appear_as_they_are_over():
    placed = {"PodScheduled": condition("True", seconds=88)}
    waiting = told(pod(conditions=placed)).startup
    assert (waiting.scheduled, waiting.pulled, waiting.answered) == ("2s", None, None)
    loading = told(pod(conditions=placed, fetch=fetched("a" * 40), server=running(seconds=50))).startup
    assert (loading.pulled, loading.fetched, loading.fetched_rate) == ("12s", "16s", "84 MB/s")


def test_what_the_server_measured_makes_up_the_rest():
    status = told(ready_pod(report=DONE))
    assert (status.startup.loaded, status.startup.warmed) == ("5.5s", "1s")
    # Its container began 30 s after the pod.
    assert status.startup.answered == "36.5s"
    # What an operator of this version does not know it leaves out.
    choices = PrecisionMemory(float32=3 * 2**20, int8=2**20)
    assert status.memory == MemoryStatus(predicted_bytes=3 * 2**20, by_precision=choices, measured_bytes=2**30)


def test_without_its_word_the_time_until_ready_is_told():
    startup = told(ready_pod()).startup
    assert (startup.loaded, startup.answered) == (None, "30s")


def test_a_start_that_was_told_is_not_told_again_whatever_happens_later():
    first = told(ready_pod(report=DONE))
    more = DONE.model_copy(update={"measured_memory_bytes": 2**40})
    flapped = {"PodScheduled": condition("True"), "Ready": condition("True", seconds=1)}
    assert told(ready_pod(report=more, conditions=flapped), previous=first) == first
    assert told(ready_pod(), previous=first) == first


def test_a_late_word_completes_what_was_told_without_it():
    first = told(ready_pod())
    assert told(ready_pod(report=DONE), previous=first).startup.loaded == "5.5s"


def test_a_new_start_replaces_it_and_an_older_replica_does_not():
    first = told(ready_pod("new", report=DONE))
    assert told(ready_pod("old", created_at=ago(900)), previous=first) == first
    fresh = told(ready_pod("new"), pod("newer", created_at=ago(5)), previous=first)
    assert (fresh.startup.replica, fresh.startup.answered) == ("newer", None)
    assert fresh.memory == first.memory


def test_a_download_that_came_from_a_cache_has_no_speed():
    line = '{"revision": "' + "a" * 40 + '", "bytes": 5000, "seconds": 0.1, "downloaded_bytes": 0}'
    cached = container("fetch", terminated=end(0, line, reason="Completed"))
    startup = told(pod(fetch=cached)).startup
    assert (startup.fetched_bytes, startup.fetched_rate) == (0, None)


def test_the_newest_replica_is_asked_while_it_starts_and_once_when_it_is_ready():
    starting = pod(server=running(), address="10.0.0.1")
    ready = ready_pod(address="10.0.0.1")

    def asked(one, previous=NOTHING):
        return choose_whom_to_ask(observed(one), previous) is not None

    assert asked(starting)
    assert asked(pod(fetch=running("fetch"), address="10.0.0.1"))
    assert not asked(pod(address="10.0.0.1"))
    assert not asked(dataclasses.replace(starting, address=""))
    assert asked(ready)
    assert not asked(dataclasses.replace(ready, report=DONE))
    assert not asked(ready, previous=told(ready_pod(report=DONE)))


def test_a_replica_that_was_asked_last_before_it_was_ready_is_asked_once_more():
    for known in (None, LOADING):
        ready = ready_pod(address="10.0.0.1", report=known)
        begun = told(ready, previous=told(pod(server=running(), report=known)))
        assert begun.startup.answered is not None
        assert choose_whom_to_ask(observed(ready), begun) == ready
        assert told(ready_pod(report=DONE), previous=begun).memory == told(ready_pod(report=DONE)).memory


def test_a_replica_that_only_outlived_the_newest_one_is_not_asked():
    new = told(ready_pod("new"))
    assert choose_whom_to_ask(observed(ready_pod("old", created_at=ago(900), address="10.0.0.1")), new) is None


FORESEEN = {"float32": 2 * 2**30, "bfloat16": 2**30}
FETCHING = ReadinessReport(stage=Stage.FETCHING, phase="headers", predicted_by_precision=FORESEEN)
PREDICTED = PrecisionMemory(**FORESEEN)


def test_what_a_model_takes_is_told_while_it_is_still_downloaded():
    assert told(pod(fetch=running("fetch"), report=FETCHING)).memory == MemoryStatus(by_precision=PREDICTED)


def test_what_was_measured_stands_until_the_next_one_is():
    first = told(ready_pod(report=DONE))
    begun = pod("new", fetch=running("fetch"), report=FETCHING, created_at=ago(0))
    assert told(begun, previous=first).memory == first.memory


def test_what_a_refused_model_takes_is_told():
    left = Failure(code=FailureCode.OUT_OF_MEMORY, message="m.", next="n.", predicted_by_precision=FORESEEN)
    refused = pod("new", fetch=container("fetch", terminated=end(78, left.model_dump_json())))
    assert told(refused, previous=told(ready_pod(report=DONE))).memory == MemoryStatus(by_precision=PREDICTED)


TOLD = FETCHING.model_copy(update={"weights_by_precision": {"bfloat16": 2**29}})
WEIGHTS = PrecisionMemory(bfloat16=2**29)


def test_the_weights_stand_beside_what_they_are_of():
    memory = told(pod(fetch=running("fetch"), report=TOLD, model="a/b@main")).memory
    assert (memory.model, memory.weights) == ("a/b@main", WEIGHTS)
    # A server that does not tell of weights takes nothing away that was told of the same files.
    told_less = told(
        pod(server=running(), report=FETCHING, model="a/b@main"), previous=NOTHING.model_copy(update={"memory": memory})
    )
    assert told_less.memory.weights == WEIGHTS


def test_of_other_files_neither_weights_nor_measurements_stay():
    first = told(
        ready_pod(report=DONE.model_copy(update={"weights_by_precision": {"bfloat16": 2**29}}), model="a/b@main")
    )
    assert first.memory.weights == WEIGHTS
    begun = pod("new", fetch=running("fetch"), report=FETCHING, created_at=ago(0), model="a/b@v2")
    assert told(begun, previous=first).memory == MemoryStatus(model="a/b@v2", by_precision=PREDICTED)


def test_the_memory_of_its_accelerators_is_told_where_the_nodes_are_known_and_stays_when_they_are_looked_at_no_more():
    on_gpu = make_resource(accelerator={})
    known = (node("a", more=gpus(1), labels={"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}),)
    begun = pod(fetch=running("fetch"), report=TOLD, model="a/b@main", node="a")
    first = told(begun, resource=on_gpu, nodes=known)
    assert first.memory.device == "1 x NVIDIA-L4 with 23034 MiB (nvidia.com/gpu.memory)"
    assert told(begun, previous=first, resource=on_gpu).memory.device == first.memory.device
    assert told(begun, previous=first, resource=on_gpu, nodes=()).memory.device is None
    assert told(begun, previous=first).memory.device is None, "it has none any more"
