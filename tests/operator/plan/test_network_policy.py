import ipaddress

import pytest

from llmi_operator.plan.network_policy import build_network_policy
from llmi_testing.inference import DEFAULTS, make_resource

HUB = {"id": "a/b"}
OPERATOR = {
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "llminference-operator"}},
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": DEFAULTS.operator_namespace}},
}


def rules(direction, **spec):
    return build_network_policy(make_resource(**{"model": HUB, **spec}), DEFAULTS)["spec"][direction]


def peers(**access):
    (rule,) = rules("ingress", access=access)
    return rule.get("from")


def reaches(address, port, egress):
    """Whether an address outside the cluster may be called at a TCP port."""
    there = ipaddress.ip_address(address)
    return any(
        {"protocol": "TCP", "port": port} in rule["ports"] and any(within(there, peer) for peer in rule["to"])
        for rule in egress
    )


def within(there, peer):
    block = peer.get("ipBlock")
    if block is None:
        return False
    ranges = [ipaddress.ip_network(cidr) for cidr in (block["cidr"], *block.get("except", ()))]
    return there in ranges[0] and not any(there in kept for kept in ranges[1:])


def test_everybody_may_call_the_one_port_and_no_other():
    assert rules("ingress") == [{"ports": [{"protocol": "TCP", "port": 8080}]}]


def test_those_who_are_named_may_call_and_the_operator_always():
    named = peers(allowFrom=[{"podLabels": {"app": "shop"}}, {"namespaceLabels": {}}, {"cidr": "10.0.0.0/8"}])
    assert named == [
        {"podSelector": {"matchLabels": {"app": "shop"}}},
        {"namespaceSelector": {}},
        {"ipBlock": {"cidr": "10.0.0.0/8"}},
        OPERATOR,
    ]
    assert peers(allowFrom=[]) == [OPERATOR]


def test_keda_may_call_where_it_reads_the_queue_and_callers_are_named():
    keda = {
        "podSelector": {"matchLabels": {"app": "keda-operator"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}},
    }
    queue, cpu = (
        {"maxReplicas": 2, "backend": "keda", "targets": targets}
        for targets in ({"inFlightPerReplica": 9}, {"cpuPercent": 9})
    )
    (rule,) = rules("ingress", access={"allowFrom": []}, autoscaling=queue)
    assert rule["from"] == [OPERATOR, keda]
    (rule,) = rules("ingress", access={"allowFrom": []}, autoscaling=cpu)
    assert rule["from"] == [OPERATOR]


def test_what_reads_the_queue_for_the_autoscaler_may_call_where_callers_are_named():
    adapter = {**OPERATOR, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "llminference-metrics-adapter"}}}
    queue, cpu = ({"maxReplicas": 2, "targets": targets} for targets in ({"inFlightPerReplica": 9}, {"cpuPercent": 9}))
    (rule,) = rules("ingress", access={"allowFrom": []}, autoscaling=queue)
    assert rule["from"] == [OPERATOR, adapter]
    (rule,) = rules("ingress", access={"allowFrom": []}, autoscaling=cpu)
    assert rule["from"] == [OPERATOR]


def test_pods_of_another_namespace_need_both_labels():
    (first, _) = peers(allowFrom=[{"podLabels": {"app": "a"}, "namespaceLabels": {"team": "b"}}])
    assert first == {
        "podSelector": {"matchLabels": {"app": "a"}},
        "namespaceSelector": {"matchLabels": {"team": "b"}},
    }


@pytest.mark.parametrize("source", [{"claim": {"name": "c"}}, {"image": {"reference": "r/m:1"}}])
def test_a_model_that_is_not_downloaded_reaches_dns_and_nothing_else(source):
    egress = rules("egress", model=source)
    assert {port["port"] for rule in egress for port in rule["ports"]} == {53, 5353}
    assert not reaches("203.0.113.1", 53, egress)
    assert not reaches("203.0.113.1", 443, egress)


def test_a_model_from_the_hub_reaches_https_but_no_metadata_service():
    egress = rules("egress")
    assert reaches("203.0.113.1", 443, egress)
    assert reaches("2001:db8::1", 443, egress)
    assert not reaches("203.0.113.1", 80, egress)
    for address in ("169.254.169.254", "169.254.170.2", "fd00:ec2::254"):
        assert not reaches(address, 443, egress)
        assert not reaches(address, 80, egress)


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("https://hub.example.com", 443),
        ("http://hub.example.com/api", 80),
        ("http://10.1.2.3:8000", 8000),
        ("https://[2001:db8::1]:8443/x", 8443),
    ],
)
def test_a_mirror_is_reached_at_its_own_port_alone(endpoint, port):
    egress = rules("egress", model={**HUB, "endpoint": endpoint})
    assert reaches("203.0.113.1", port, egress)
    assert not reaches("203.0.113.1", 444, egress)
    assert not reaches("169.254.169.254", port, egress)


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("hub", "models"),
        ("hub.mirrors", "mirrors"),
        ("hub.mirrors.svc", "mirrors"),
        ("hub.mirrors.svc.cluster.local", "mirrors"),
        ("hub.example.com", None),
    ],
)
def test_a_mirror_in_the_cluster_is_reached_at_whatever_port_its_pods_have(host, namespace):
    _, _, *inside = rules("egress", model={**HUB, "endpoint": f"http://{host}"})
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    assert inside == ([{"to": [selector], "ports": [{"protocol": "TCP"}]}] if namespace else [])
