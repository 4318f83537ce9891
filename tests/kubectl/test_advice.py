import pytest

from llmi_api.readiness import Usage
from llmi_kubectl.advice import UsageSummary, advise, sum_up

GIBIBYTE = 2**30
HOURS = 3 * 3600 + 100
GPU = {"accelerator": {}}


def pod(memory="2Gi", cpu=None, at="2026-11-25T12:00:00Z"):
    requests = {name: amount for name, amount in (("memory", memory), ("cpu", cpu)) if amount}
    containers = [{"name": "server", "resources": {"requests": requests} if requests else {}}]
    return {"metadata": {"name": "a", "creationTimestamp": at}, "spec": {"containers": containers}}


def by_start(measured, *pods, **spec):
    return list(advise(spec, {"memory": {"measuredBytes": measured}}, pods, None))


def used(hour=0.6, minute=0.9, *, seconds=HOURS, busy=500.0, peak=GIBIBYTE, asked=1, **more):
    return UsageSummary(
        replicas=asked,
        serving_seconds=seconds,
        busy_seconds=busy,
        hour_busy_share=hour,
        minute_busy_share=minute,
        peak_memory_bytes=peak,
        **more,
    )


def by_use(measured, *pods, replicas=1, **spec):
    return list(advise(spec, {"replicas": replicas, "memory": {"measuredBytes": 1}}, pods or (pod(),), measured))


def test_before_any_was_asked_the_start_counts_and_is_called_so():
    assert by_start(GIBIBYTE, pod("8Gi")) == [
        "A replica requests 8.00 GiB of memory, and the latest start took at most 1.00 GiB: 1536Mi in spec.resources "
        "would hold that and 30% more. Look at it under your own traffic before you lower it."
    ]


@pytest.mark.parametrize("memory", ["2Gi", "1Gi", None])
def test_what_saves_little_or_is_not_known_is_not_worth_a_word(memory):
    assert by_start(GIBIBYTE, pod(memory)) == []
    assert by_use(used(), pod(memory)) == []


def test_without_a_measurement_or_a_replica_there_is_no_advice():
    assert by_start(None, pod("8Gi")) == []
    assert by_start(GIBIBYTE) == []
    assert list(advise({}, {}, [pod("8Gi")], None)) == []


def test_what_a_gpu_held_is_not_compared_with_the_nodes_memory():
    assert by_start(GIBIBYTE, pod("8Gi"), **GPU) == []


def test_the_newest_replica_counts():
    assert by_start(GIBIBYTE, pod("8Gi", at="2026-11-25T11:00:00Z"), pod("2Gi")) == []


def test_much_more_than_was_ever_held_under_requests_is_told_with_the_numbers_and_the_time():
    assert by_use(used(peak=2 * GIBIBYTE), pod("4Gi")) == [
        "A replica requests 4.00 GiB of memory and held at most 2.00 GiB in 3 h: 2816Mi in spec.resources would hold "
        "that and 30% more."
    ]


def test_less_than_an_hour_is_too_short_for_any_advice():
    assert by_use(used(0.01, 0.01, seconds=3599), pod("8Gi", "8"), replicas=8) == []
    assert by_use(used(0.01, 0.01, seconds=3600), pod("8Gi", "8"), replicas=8) != []


def test_who_asks_for_advice_after_a_shorter_time_is_told_which_time_it_is_of():
    short = {"seconds": 965, "enough_seconds": 900}
    assert by_use(used(0.04, 0.11, **short), pod("4Gi", "4")) == [
        "A replica requests 4.00 GiB of memory and held at most 1.00 GiB in 16 min: 1536Mi in spec.resources would "
        "hold that and 30% more.",
        "A replica requests 4 CPU and computed 4% of the last 16 min, 11% of the busiest minute: 1 in spec.resources "
        "would carry that, with answers that take up to 4.0 times as long.",
    ]
    (idle,) = by_use(used(0, 0, busy=0.0, **short))
    assert idle.startswith("Nothing was computed in the last 16 min.")
    assert by_use(used(0.04, 0.11, seconds=899, enough_seconds=900), pod("4Gi", "4")) == []


def test_one_that_was_never_asked_says_nothing_of_its_memory_and_need_not_run():
    assert by_use(used(0, 0, busy=0.0), pod("8Gi", "8")) == [
        "Nothing was computed in the last hour. spec.replicas: 0 stops it until you set it back; with KEDA it sleeps "
        "until it is asked (docs/scaling.md)."
    ]
    assert by_use(used(0, 0, busy=0.0), autoscaling={"minReplicas": 0}) == []


def test_replicas_that_had_little_to_do_even_in_their_busiest_minute_could_be_fewer():
    assert by_use(used(0.04, 0.11, asked=3), pod(), replicas=8) == [
        "8 replicas computed 4% of the last hour, 11% of the busiest minute: 2 would carry that. Lower spec.replicas."
    ]
    (text,) = by_use(used(0.001, 0.01), pod(), replicas=2)
    assert "computed less than 1% of the last hour" in text
    assert text.endswith("1 would carry that. Lower spec.replicas. Two or more go on answering when a node fails.")


def test_of_an_autoscaler_only_its_least_is_too_many():
    autoscaling = {"minReplicas": 4, "maxReplicas": 9}
    (text,) = by_use(used(0.1, 0.2), pod(), replicas=4, autoscaling=autoscaling)
    assert "2 would carry that. Lower spec.autoscaling.minReplicas." in text
    assert by_use(used(0.1, 0.2), pod(), replicas=4, autoscaling={**autoscaling, "minReplicas": 2}) == []


def test_one_replica_that_had_little_to_do_would_do_with_a_smaller_processor_and_what_that_costs_is_said():
    assert by_use(used(0.04, 0.11), pod(cpu="4")) == [
        "A replica requests 4 CPU and computed 4% of the last hour, 11% of the busiest minute: 1 in spec.resources "
        "would carry that, with answers that take up to 4.0 times as long."
    ]
    assert by_use(used(0.04, 0.4), pod(cpu="4")) == []
    assert by_use(used(0.01, 0.01), pod(cpu="250m")) == []


@pytest.mark.parametrize("accelerator", [{}, {"resource": "amd.com/gpu"}])
def test_a_whole_gpu_that_had_little_to_do_could_be_shared(accelerator):
    assert by_use(used(0.04, 0.11), pod(cpu="8"), accelerator=accelerator) == [
        "A replica has a whole GPU and computed 4% of the last hour, 11% of the busiest minute: a part of one would do "
        "(spec.accelerator.resource, docs/gpu.md)."
    ]
    assert by_use(used(0.04, 0.3), pod(cpu="8"), accelerator=accelerator) == []


@pytest.mark.parametrize("accelerator", [{"resource": "nvidia.com/mig-1g.10gb"}, {"dra": {"deviceClassName": "a"}}])
def test_of_a_part_or_a_claim_nothing_is_said(accelerator):
    assert by_use(used(0.04, 0.11), pod(cpu="8"), accelerator=accelerator) == []


def test_replicas_that_had_no_rest_are_too_few_unless_an_autoscaler_still_adds_some():
    assert by_use(used(0.95, 1.0), pod(), replicas=2) == [
        "The replicas computed 95% of the last hour: requests wait for each other. Raise spec.replicas, or give a "
        "replica more to compute with."
    ]
    (text,) = by_use(used(0.95, 1.0), pod(), replicas=3, autoscaling={"maxReplicas": 3})
    assert text.startswith("All 3 replicas computed 95% of the last hour")
    assert by_use(used(0.95, 1.0), pod(), replicas=2, autoscaling={"maxReplicas": 3}) == []


def test_several_replicas_are_one_by_their_average_their_peaks_and_their_oldest():
    def usage(serving, hour, minute, peak):
        return Usage(
            serving_seconds=serving,
            busy_seconds=10,
            hour_busy_share=hour,
            minute_busy_share=minute,
            peak_memory_bytes=peak,
        )

    assert sum_up([usage(100, 0.2, 0.9, 5), usage(9000, 0.4, 0.5, 7)]) == UsageSummary(
        replicas=2,
        serving_seconds=9000,
        busy_seconds=20,
        hour_busy_share=pytest.approx(0.3),
        minute_busy_share=0.9,
        peak_memory_bytes=7,
    )
    assert sum_up([usage(100, 0.2, 0.9, 5)], 60).is_long_enough
    assert sum_up([]) is None
