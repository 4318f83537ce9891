"""``kubectl llminference`` against a real API server: what it reads, with which rights, and that a plan comes true."""

import json

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body
from llmi_testing.plugin import Plugin

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("operator")]


@pytest.fixture
def plugin(space):
    return Plugin(space.server.kubeconfig, space.namespace, space.server._program("kubectl").parent)


@pytest.fixture
def serving(space):
    space.apply(make_body())
    space.wait_for_pods(1)
    space.make_pods_ready()
    space.wait_for_reason("bert", "Serving")


def test_status_shows_the_resource_its_replicas_and_its_events(space, serving, plugin):
    eventually(lambda: any(item["reason"] == "Serving" for item in space.list("events")))
    text = plugin("status", "bert")
    assert text.splitlines()[0] == f"bert in {space.namespace}: 1/1 ready (Serving)"
    assert f"http://bert.{space.namespace}.svc" in text
    seen = plugin.read("status", "bert")
    assert [item["ready"] for item in seen["replicas"]] == [True]
    assert seen["why"] == ""
    assert "Serving" in {item["reason"] for item in seen["events"]}


def test_a_name_that_does_not_exist_is_answered_with_the_nearest(space, serving, plugin):
    done = plugin.run("status", "brt")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: There is no LLMInference brt in the namespace {space.namespace}: did you mean bert?\n"
    )


def test_a_plan_of_something_new_lists_exactly_what_is_then_made(space, plugin):
    file = json.dumps(make_body(replicas=2))
    (change,) = plugin.read("plan", "-f", "-", stdin=file)["changes"]
    assert change["isNew"]
    assert space.list("llmi") == []
    space.apply(make_body(replicas=2))
    space.wait_for_pods(2)
    for step in change["steps"]:
        assert step["action"] == "create"
        assert eventually(lambda step=step: space.get(step["kind"], step["name"]))


def test_a_plan_says_whether_pods_restart_and_is_right(space, serving, plugin):
    def templates():
        return {item["metadata"]["labels"]["pod-template-hash"] for item in space.list("replicasets")}

    # The API server's defaults, the operator's own annotations and what controllers wrote are no change.
    (same,) = plugin.read("plan", "-f", "-", stdin=json.dumps(make_body()))["changes"]
    assert {step["action"] for step in same["steps"]} == {"keep"}, same
    before = templates()
    quiet = make_body(replicas=2, service={"annotations": {"example.com/team": "search"}})
    (change,) = plugin.read("plan", "-f", "-", stdin=json.dumps(quiet))["changes"]
    assert (change["restarted"], change["replicas"]) == (0, 2)
    space.apply(quiet)
    space.wait_for_pods(2)
    assert templates() == before
    loud = make_body(replicas=2, limits={"maxQueuedRequests": 7})
    (change,) = plugin.read("plan", "-f", "-", stdin=json.dumps(loud))["changes"]
    assert change["restarted"] == 2
    space.apply(loud)
    eventually(lambda: templates() > before)


def test_a_plan_of_what_would_be_refused_says_the_rule(plugin):
    wrong = json.dumps(make_body(replicas=1, autoscaling={"maxReplicas": 3}))
    done = plugin.run("plan", "-f", "-", stdin=wrong)
    assert done.returncode == 3
    assert "The cluster would refuse bert: Set replicas or autoscaling, not both" in done.stderr


def test_whoever_may_only_view_a_namespace_gets_status_and_a_plan_that_says_what_it_could_not_see(space, serving):
    # viewers of the namespace, who may read neither nodes nor other namespaces
    space.kubectl("create", "rolebinding", "look", "--clusterrole=view", f"--user=viewer-{space.namespace}")
    kubeconfig = space.server.kubeconfig_for_user(f"viewer-{space.namespace}")
    plugin = Plugin(kubeconfig, space.namespace, space.server._program("kubectl").parent)
    # The roles that join view are put together by a controller.
    eventually(lambda: plugin.run("status", "bert").returncode == 0, seconds=60)
    (change,) = plugin.read("plan", "-f", "-", stdin=json.dumps(make_body(replicas=3)))["changes"]
    assert (change["restarted"], change["room"]) == (0, None)
    assert any("You may not list the nodes" in note for note in change["notes"])
    stranger = Plugin(space.server.kubeconfig_for_user("stranger"), space.namespace, plugin._programs)
    done = stranger.run("status", "bert")
    assert done.returncode == 1
    assert "You may not get llminferences in the namespace" in done.stderr
    assert "ask whoever administers the cluster" in done.stderr


def test_a_model_that_does_not_answer_yet_is_not_asked(space, plugin):
    space.apply(make_body())
    space.wait_for_reason("bert", "Starting")
    done = plugin.run("try", "bert")
    assert done.returncode == 4
    assert done.stderr == "error: No replica of bert answers: The replicas are being started.\n"


def test_logs_of_what_has_not_begun_say_so(space, plugin):
    space.apply(make_body())
    (pod,) = space.wait_for_pods(1)
    done = plugin.run("logs", "bert")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{pod['metadata']['name']}: no container of it has run yet.\n"
