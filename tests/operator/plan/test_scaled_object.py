"""The ScaledObject: the same targets and pace as without KEDA, and what starts a replica where none runs."""

import pytest

from llmi_operator.plan import Live, make_plan
from llmi_operator.plan.autoscaler import build_autoscaler
from llmi_operator.plan.scaled_object import build_scaled_object
from llmi_testing.inference import DEFAULTS, make_resource

QUERY = {"prometheus": {"serverAddress": "http://prometheus.monitoring:9090", "query": "sum(rate(waiting[1m]))"}}
ROUTE = {"httpAddOn": {"interceptorRoute": "bert"}}


def build(**autoscaling):
    resource = make_resource(autoscaling={"backend": "keda", "maxReplicas": 4, **autoscaling})
    return build_scaled_object(resource, resource.spec.autoscaling)["spec"]


def test_cpu_and_memory_are_those_of_the_servers_container():
    triggers = build(targets={"cpuPercent": 70, "memoryPercent": 80})["triggers"]
    assert [(item["type"], item["metricType"], item["metadata"]) for item in triggers] == [
        ("cpu", "Utilization", {"value": "70", "containerName": "server"}),
        ("memory", "Utilization", {"value": "80", "containerName": "server"}),
    ]


def test_requests_in_flight_are_asked_of_every_replica_and_added_up():
    (trigger,) = build(targets={"inFlightPerReplica": 8})["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("metrics-api", "AverageValue")
    assert trigger["metadata"] == {
        "url": "http://bert.models.svc:8080/metrics",
        "format": "prometheus",
        "valueLocation": "llmi_requests_in_flight",
        "aggregateFromKubeServiceEndpoints": "true",
        "aggregationType": "sum",
        "targetValue": "8",
    }


def test_the_port_is_the_pods_whatever_the_services_is():
    resource = make_resource(
        autoscaling={"backend": "keda", "maxReplicas": 4, "targets": {"inFlightPerReplica": 8}}, service={"port": 80}
    )
    (trigger,) = build_scaled_object(resource, resource.spec.autoscaling)["spec"]["triggers"]
    assert trigger["metadata"]["url"] == "http://bert.models.svc:8080/metrics"


def test_it_goes_as_fast_as_without_keda():
    resource = make_resource(autoscaling={"backend": "keda", "maxReplicas": 4, "scaleDownDelaySeconds": 90})
    behavior = build(scaleDownDelaySeconds=90)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == build_autoscaler(resource, resource.spec.autoscaling)["spec"]["behavior"]


def test_a_query_wakes_the_first_replica_and_asks_for_no_second():
    *_, trigger = build(minReplicas=0, wakeUp=QUERY)["triggers"]
    assert trigger["type"] == "prometheus"
    assert (trigger["metadata"]["serverAddress"], trigger["metadata"]["query"]) == tuple(QUERY["prometheus"].values())
    assert trigger["metadata"]["activationThreshold"] == "0"
    assert int(trigger["metadata"]["threshold"]) > 1_000_000


def test_a_request_through_the_http_add_on_wakes():
    *_, trigger = build(minReplicas=0, wakeUp=ROUTE)["triggers"]
    assert (trigger["type"], trigger["metadata"]) == (
        "external-push",
        {"scalerAddress": "keda-add-ons-http-external-scaler.keda:9090", "interceptorRoute": "bert"},
    )


def test_the_last_replica_goes_after_the_delay_and_a_new_one_is_left_to_come_up():
    spec = build(minReplicas=0, wakeUp=ROUTE, scaleDownDelaySeconds=90)
    assert (spec["minReplicaCount"], spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (0, 90, 90)
    # KEDA warns of these where there is always a replica.
    assert not {"cooldownPeriod", "initialCooldownPeriod", "pollingInterval"} & build().keys()


@pytest.mark.parametrize(
    ("backend", "kind"),
    [("auto", "HorizontalPodAutoscaler"), ("hpa", "HorizontalPodAutoscaler"), ("keda", "ScaledObject")],
)
def test_there_is_one_autoscaler_and_never_two(backend, kind):
    resource = make_resource(autoscaling={"backend": backend, "maxReplicas": 4})
    kinds = [child["kind"] for child in make_plan(resource, DEFAULTS, Live()).children]
    assert [found for found in kinds if found in {"HorizontalPodAutoscaler", "ScaledObject"}] == [kind]
