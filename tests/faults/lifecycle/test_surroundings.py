"""Others refuse, change or take away what the operator needs: one resource says so, the others go on, and it heals."""

import itertools

import pytest

from llmi_testing.api import path
from llmi_testing.control_plane import OPERATOR, SYSTEM
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.operator_process import OperatorProcess
from llmi_testing.passes import wait_for_passes, wait_until_idle
from llmi_testing.resources import create_ready, find_condition, is_ready, wait_for_reason, wait_until_ready
from llmi_testing.third_party_webhook import ThirdPartyWebhook
from llmi_testing.writes import AppliedCount

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
NAME, OTHER = "bert", "other"
RECOVERY_SECONDS = 120
MERGE = "application/merge-patch+json"


_numbers = itertools.count(1)


def serves_others(api, namespace):
    """Another resource is made and served as if nothing was.

    Each time by another name: shortly after the type was installed the garbage collector does not know it, and what the
    one before has left behind is in the way.
    """
    name = f"{OTHER}-{next(_numbers)}"
    create_ready(api, namespace, [name], seconds=60)
    api.delete("llminferences", namespace, name)


@pytest.fixture
def elsewhere(api):
    """A second namespace, whose resources nothing concerns."""
    name = "fault-elsewhere"
    if api.get("namespaces", "", name) is None:
        api.create("namespaces", "", {"metadata": {"name": name}})
    return name


def put_quota(api, namespace, hard):
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}
    if api.get("resourcequotas", namespace, "small"):
        api.patch("resourcequotas", namespace, "small", {"spec": {"hard": hard}})
    else:
        api.create("resourcequotas", namespace, body)
    # The controller decides what holds: the spec is only a wish.
    eventually(lambda: api.need("resourcequotas", namespace, "small").get("status", {}).get("hard") == hard)


def test_a_quota_on_pods_is_named_and_raising_it_heals(server, api, namespace, elsewhere, operator):
    put_quota(api, namespace, {"pods": "1"})
    api.create("llminferences", namespace, make_body(NAME, replicas=2))
    why = wait_for_reason(api, namespace, NAME, "QuotaExceeded")
    assert "small" in why
    serves_others(api, elsewhere)
    put_quota(api, namespace, {"pods": "5"})
    wait_until_ready(api, namespace, NAME, seconds=RECOVERY_SECONDS)


def test_a_quota_on_services_is_named_and_raising_it_heals(server, api, namespace, elsewhere, operator):
    put_quota(api, namespace, {"services": "0"})
    api.create("llminferences", namespace, make_body(NAME))
    eventually(
        lambda: "exceeded quota" in (api.need("llminferences", namespace, NAME).get("status") or {}).get("why", "")
    )
    serves_others(api, elsewhere)
    put_quota(api, namespace, {"services": "5"})
    wait_until_ready(api, namespace, NAME, seconds=RECOVERY_SECONDS)


def test_a_limit_range_that_refuses_pods_is_told_in_its_words(api, namespace, elsewhere, operator):
    limits = [{"type": "Container", "max": {"memory": "1Gi"}}]
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": limits}}
    api.create("limitranges", namespace, body)
    api.create("llminferences", namespace, make_body(NAME, resources={"limits": {"memory": "2Gi"}}))
    why = wait_for_reason(api, namespace, NAME, "LimitRangeExceeded")
    assert "maximum memory usage per Container is 1Gi" in why
    serves_others(api, elsewhere)
    api.patch("llminferences", namespace, NAME, {"spec": {"resources": {"limits": {"memory": "1Gi"}}}})
    wait_until_ready(api, namespace, NAME, seconds=RECOVERY_SECONDS)


@pytest.fixture
def webhook(server, api, namespace, tmp_path):
    """Somebody else's admission webhook for this namespace's Services and Deployments."""
    with ThirdPartyWebhook(server, api, namespace, tmp_path) as webhook:
        yield webhook


def test_a_webhook_that_refuses_is_told_in_its_words(api, namespace, elsewhere, operator, webhook):
    webhook.refuse("every Service needs a cost centre")
    api.create("llminferences", namespace, make_body(NAME))
    why = wait_for_reason(api, namespace, NAME, "Refused")
    assert "every Service needs a cost centre" in why
    assert find_condition(api.need("llminferences", namespace, NAME), "Stalled")["status"] == "True"
    serves_others(api, elsewhere)
    webhook.allow()
    wait_until_ready(api, namespace, NAME, seconds=RECOVERY_SECONDS)


def test_a_webhook_that_does_not_answer_is_waited_for_and_named(api, namespace, elsewhere, operator, webhook):
    webhook.hang()
    api.create("llminferences", namespace, make_body(NAME))
    eventually(
        lambda: webhook.name in (api.need("llminferences", namespace, NAME).get("status") or {}).get("why", ""),
        "the status names the webhook", seconds=60,
    )  # fmt: skip
    serves_others(api, elsewhere)
    webhook.allow()
    wait_until_ready(api, namespace, NAME, seconds=RECOVERY_SECONDS)


@pytest.fixture
def restless(account, tmp_path):
    """An operator that lists everything every second."""
    with OperatorProcess(account, tmp_path / "log", resync_seconds="1") as process:
        eventually(process.is_leader)
        yield process


def test_a_webhook_that_adds_fields_is_no_reason_to_write_again(server, api, namespace, restless, webhook):
    webhook.add_annotation("team", "search")
    create_ready(api, namespace, [NAME])
    assert api.need("deployments", namespace, NAME)["metadata"]["annotations"]["team"] == "search"
    assert_rest(server, restless)


def test_a_webhook_that_changes_our_fields_does_not_start_a_fight(server, api, namespace, restless, webhook):
    webhook.change("deployments", "/spec/revisionHistoryLimit", 7)
    create_ready(api, namespace, [NAME])
    assert api.need("deployments", namespace, NAME)["spec"]["revisionHistoryLimit"] == 7
    assert_rest(server, restless)


def assert_rest(server, process):
    """A fight never comes to rest; what is left of earlier tests does."""

    def rests():
        applied = AppliedCount(server)
        wait_for_passes(process, 5)
        return applied.since() == {}

    wait_for_passes(process, 2)
    wait_until_idle(process)
    eventually(rests, "five passes write nothing", seconds=60)


def without(rules, resource, verbs):
    """Rules that no longer give the verbs on a resource."""
    for rule in rules:
        if resource not in rule.get("resources", ()):
            yield rule
            continue
        others = [name for name in rule["resources"] if name != resource]
        left = [verb for verb in rule["verbs"] if verb not in verbs]
        yield from ([{**rule, "resources": others}] if others else [])
        yield from ([{**rule, "resources": [resource], "verbs": left}] if left else [])


def may_create_services(api, namespace):
    asked = {"namespace": namespace, "verb": "create", "resource": "services"}
    spec = {"user": f"system:serviceaccount:{SYSTEM}:{OPERATOR}", "resourceAttributes": asked}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    _, answer = api.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return answer["status"]["allowed"]


@pytest.mark.parametrize(
    "verbs", [("create", "patch", "update"), ("get", "list", "watch", "create", "patch", "update", "delete")],
    ids=["writing", "everything"],
)  # fmt: skip
def test_a_missing_right_is_named_and_its_return_heals(api, namespace, elsewhere, operator, verbs):
    where = "/apis/rbac.authorization.k8s.io/v1/clusterroles/llminference-operator"
    _, role = api.ask("GET", where)
    create_ready(api, elsewhere, ["before"])
    try:
        api.ask("PATCH", where, {"rules": list(without(role["rules"], "services", verbs))}, MERGE)
        eventually(lambda: not may_create_services(api, namespace), "the API server goes by the role")
        api.create("llminferences", namespace, make_body(NAME))
        why = wait_for_reason(api, namespace, NAME, "Forbidden")
        assert "Service" in why
        # What was served is served, and what needs no new Service is still done.
        assert is_ready(api, elsewhere, "before")
        api.patch("llminferences", elsewhere, "before", {"spec": {"replicas": 2}})
        wait_until_ready(api, elsewhere, "before")
    finally:
        api.ask("PATCH", where, {"rules": role["rules"]}, MERGE)
    wait_until_ready(api, namespace, NAME, seconds=RECOVERY_SECONDS)
    api.delete("llminferences", elsewhere, "before")


def test_our_crd_is_deleted_and_comes_back(api, namespace, operator):
    where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/llminferences.llminference.dev"
    create_ready(api, namespace, [NAME])
    _, crd = api.ask("GET", where)
    try:
        api.ask("DELETE", where)
        # With the kind go its objects, and with them their children.
        eventually(lambda: api.ask("GET", where)[0] == 404, seconds=60)
        eventually(lambda: not api.get("deployments", namespace, NAME), seconds=60)
    finally:
        kept = {key: crd["metadata"][key] for key in ("name", "labels", "annotations") if key in crd["metadata"]}
        status, answer = api.ask("POST", where.rsplit("/", 1)[0], {**crd, "metadata": kept, "status": None})
        assert status == 201, answer
    # The API server may serve a type that has come back, and for a moment not serve it again.
    eventually(lambda: api.ask("POST", path("llminferences", namespace), make_body(NAME))[0] in {201, 409}, seconds=60)
    wait_until_ready(api, namespace, NAME, seconds=RECOVERY_SECONDS)
    assert operator.returncode is None
