"""Which replicas find no room, and whether an older one's end would help them."""

from datetime import UTC, datetime, timedelta

import pytest

from llmi_api import labels
from llmi_operator.cluster.rollout import PATIENCE, fits_in_place, read_rollout
from llmi_operator.kinds import DEPLOYMENT, POD
from llmi_operator.store import Key, Store
from llmi_testing.situations import GPU

KEY = Key("models", "bert")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
LABELS = {labels.OWNER_LABEL: "bert"}
ONE_GPU = {"containers": [{"resources": {"requests": {GPU: "1", "cpu": "1"}}}]}
TAINTED = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]
NO_ROOM = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}


def rolling(*, generation=2, **conditions):
    named = {"type": "Progressing", "status": "True", "message": 'ReplicaSet "bert-new" is progressing.'}
    status = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1}
    return {
        "metadata": {"name": "bert", "namespace": "models", "uid": "d", "generation": generation, "labels": LABELS},
        "spec": {"replicas": 1, "template": {"spec": ONE_GPU}},
        "status": {**status, "conditions": [named, *({"type": kind, **rest} for kind, rest in conditions.items())]},
    }


def pod(name, version, *, node="", spec=ONE_GPU, condition=None, **metadata):
    where = {"name": name, "namespace": "models", "uid": name, "labels": {**LABELS, "pod-template-hash": version}}
    return {
        "metadata": {**where, "creationTimestamp": "2026-05-01T00:00:00Z", **metadata},
        "spec": {**spec, **({"nodeName": node} if node else {})},
        "status": {"phase": "Running" if node else "Pending", "conditions": [condition] if condition else []},
    }


OLD = pod("old", "old", node="a", spec={**ONE_GPU, "tolerations": TAINTED})
NEW = pod("new", "new", condition=NO_ROOM)


class Seen:
    """What is stored, read again and again at later moments."""

    def __init__(self, deployment, *pods):
        self.store = Store()
        self.put(deployment, *pods)

    def put(self, deployment, *pods):
        # Without versions a newer copy would count as an old one.
        self.store.replace(DEPLOYMENT, "", [], "100")
        self.store.replace(POD, "", [], "100")
        self.store.put(DEPLOYMENT, deployment)
        for item in pods:
            self.store.put(POD, item)

    def read(self, seconds=0.0):
        return read_rollout(self.store, KEY, self.store.get(DEPLOYMENT, KEY), NOW + timedelta(seconds=seconds))


def test_a_replica_without_room_is_stuck_after_a_while():
    seen = Seen(rolling(), OLD, NEW)
    late = PATIENCE.total_seconds()
    assert [(live.waiting, live.stuck) for live in map(seen.read, (0, late - 1, late))] == [
        (1, False), (1, False), (1, True),
    ]  # fmt: skip


def test_a_changed_deployment_gets_its_time_to_help():
    seen = Seen(rolling(), OLD, NEW)
    seen.read()
    seen.put(rolling(generation=3), OLD, NEW)
    assert not seen.read(PATIENCE.total_seconds()).stuck
    assert seen.read(2 * PATIENCE.total_seconds()).stuck


def test_while_an_older_one_stops_nobody_is_stuck():
    seen = Seen(rolling(), OLD | {"metadata": {**OLD["metadata"], "deletionTimestamp": "2026-05-01T00:00:00Z"}}, NEW)
    assert seen.read().waiting == 0


def test_a_gate_that_holds_a_replica_back_counts_like_a_lack_of_room():
    gated = pod("new", "new", condition={**NO_ROOM, "reason": "SchedulingGated"})
    assert Seen(rolling(), OLD, gated).read().waiting == 1


def test_a_quota_that_allows_no_replica_more_counts_too():
    failure = {"status": "True", "message": "exceeded quota: gpus, requested: 1, used: 1, limited: 1"}
    body = rolling(ReplicaFailure=failure)
    body["status"] |= {"replicas": 1, "updatedReplicas": 0}
    assert Seen(body, OLD).read().waiting == 1


def test_a_replica_without_room_and_without_older_ones_has_nothing_to_wait_for():
    assert Seen(rolling(), NEW).read().waiting == 0


def test_the_newer_versions_own_replica_makes_no_room():
    assert Seen(rolling(), pod("first", "new", node="a"), NEW).read().waiting == 0


def test_a_rollout_is_over_when_every_wanted_replica_is_new_and_answers():
    body = rolling()
    body["status"] |= {"replicas": 1}
    assert Seen(body, pod("first", "new", node="a")).read().over
    assert not Seen(rolling(), OLD, NEW).read().over


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        pytest.param({}, True, id="the same"),
        pytest.param({"containers": [{"resources": {"requests": {GPU: "2"}}}]}, False, id="more devices"),
        pytest.param({"containers": [{"resources": {"requests": {"amd.com/gpu": "1"}}}]}, False, id="other devices"),
        pytest.param({"containers": [{"resources": {"requests": {"cpu": "500m"}}}]}, True, id="less"),
        pytest.param({"nodeSelector": {"pool": "typo"}}, False, id="other nodes"),
        pytest.param({"tolerations": []}, False, id="a taint that is not tolerated any more"),
        pytest.param({"affinity": {"nodeAffinity": {}, "podAffinity": {"x": "y"}}}, False, id="another place"),
        pytest.param({"volumes": [{"persistentVolumeClaim": {"claimName": "typo"}}]}, False, id="another claim"),
        pytest.param({"resourceClaims": [{"resourceClaimTemplateName": "one"}]}, True, id="the same devices by claim"),
        pytest.param({"resourceClaims": [{"resourceClaimTemplateName": "two"}]}, False, id="other devices by claim"),
        pytest.param({"resourceClaims": [{"resourceClaimName": "mine"}]}, False, id="a claim of devices by name"),
    ],
)
def test_only_a_pod_that_could_run_where_the_older_one_runs_waits_for_its_place(change, fits):
    mine = {"key": "spot", "operator": "Exists"}
    old = {**ONE_GPU, "nodeName": "a", "tolerations": [mine, *TAINTED]}
    old |= {"resourceClaims": [{"resourceClaimTemplateName": "one"}]}
    assert fits_in_place({**ONE_GPU, "tolerations": [mine], **change}, old) is fits
