"""The auditor sees each kind of wrong, and is not deceived by what only looks like one."""

import pytest

from llmi_testing.api import path
from llmi_testing.auditing import Audit
from llmi_testing.auditor import LONGEST_SECONDS, Auditor, Judge, find_lie, in_lasting
from llmi_testing.eventually import eventually
from llmi_testing.inference import make_body

pytestmark = pytest.mark.faults
LABELS = {"app.kubernetes.io/managed-by": "llminference-operator"}
REVISION = {"deployment.kubernetes.io/revision": "2"}


def owner(uid, kind="LLMInference"):
    return {"ownerReferences": [{"kind": kind, "uid": uid, "controller": True}]}


def condition(status="True", *, since="1", reason="Serving", message="", generation=1, kind="Ready"):
    return {
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
        "observedGeneration": generation,
    }  # fmt: skip


def resource(*conditions, generation=1, observed=1):
    return {
        "metadata": {"name": "bert", "namespace": "a", "uid": "bert", "generation": generation},
        "status": {"observedGeneration": observed, "conditions": list(conditions)},
    }


def thing(uid="s", **metadata):
    return {"metadata": {"name": "bert", "namespace": "a", "uid": uid, **metadata}}


def serving(*, ready=True, revision="2"):
    """Everything that must be there for Ready to be true."""
    return {
        "Deployment": [{**thing("d", **owner("bert"), annotations=REVISION), "status": {"observedGeneration": 1}}],
        "ReplicaSet": [
            thing("rs", **owner("d", "Deployment"), annotations={"deployment.kubernetes.io/revision": revision})
        ],
        "Pod": [thing("p", **owner("rs", "ReplicaSet"))],
        "Service": [thing("s", **owner("bert"))],
        "EndpointSlice": [
            {
                **thing("e", labels={"kubernetes.io/service-name": "bert"}),
                "endpoints": [{"conditions": {"ready": ready}, "targetRef": {"uid": "p", "name": "p"}}],
            }
        ],
    }


def rules(findings):
    return [finding.rule for finding in findings]


def test_ready_with_a_ready_endpoint_is_the_truth():
    assert find_lie(resource(condition()), serving()) == ""


@pytest.mark.parametrize(
    ("says", "objects", "words"),
    [
        (resource(condition()), serving(ready=False), "p not ready"),
        (resource(condition()), serving(revision="1"), "0 pods"),
        (resource(condition(), generation=2), serving(), "Ready is True of generation 1, and 2 is wanted"),
    ],
)
def test_ready_without_one_is_a_lie(says, objects, words):
    assert words in find_lie(says, objects)


def test_a_lie_is_told_once_it_has_lasted_for_five_seconds():
    judge, objects = Judge(), serving(ready=False)
    assert rules(judge.see_all([resource(condition())], objects, 0)) == []
    assert rules(judge.see_all([resource(condition())], objects, 4.9)) == []
    assert rules(judge.see_all([resource(condition())], objects, 5.0)) == ["lie"]
    assert rules(judge.see_all([resource(condition())], objects, 6.0)) == []


def test_while_the_operator_is_excused_patience_starts_anew():
    judge, objects = Judge(), serving(ready=False)
    assert rules(judge.see_all([resource(condition())], objects, 0)) == []
    judge.excuse()
    assert rules(judge.see_all([resource(condition())], objects, 5.0)) == []


def test_what_was_not_judged_meanwhile_is_looked_at_with_new_patience():
    judge, objects = Judge(), serving(ready=False)
    assert rules(judge.see_all([resource(condition())], objects, 0)) == []
    assert rules(judge.see_all([], objects, 3.0)) == []
    assert rules(judge.see_all([resource(condition())], objects, 6.0)) == []
    assert rules(judge.see_all([resource(condition())], objects, 11.0)) == ["lie"]


@pytest.mark.parametrize(
    ("namespaces", "judged"),
    [
        ([thing("ns")], True),
        ([thing("ns", deletionTimestamp="2026-05-01T00:00:00Z")], False),
        ([], False),
    ],
    ids=["lasts", "ends", "has ended since the resource was listed"],
)
def test_only_what_is_in_a_namespace_that_lasts_is_judged(namespaces, judged):
    there = [body | {"metadata": body["metadata"] | {"name": "a"}} for body in namespaces]
    assert bool(in_lasting(there, [resource()])) == judged


def test_time_in_which_it_could_not_look_hardly_counts():
    auditor = Auditor(None, "", None, None)
    auditor._looked_at -= 100
    assert auditor._tick() == LONGEST_SECONDS


def test_an_orphan_is_found_after_a_minute():
    judge, objects = Judge(), {**serving(), "Service": [thing(labels=LABELS, **owner("somebody else"))]}
    assert rules(judge.see_all([], objects, 0)) == []
    assert rules(judge.see_all([], objects, 60)) == ["orphan"]


def test_fields_of_the_operator_on_a_foreign_object_are_found_at_once():
    touched = {"managedFields": [{"manager": "llminference-operator"}]}
    assert rules(Judge().see_all([], {**serving(), "Service": [thing(**touched)]}, 0)) == ["harm"]
    ours = Judge()
    assert rules(ours.see_all([resource()], {**serving(), "Service": [thing(**touched, **owner("bert"))]}, 0)) == []
    # Cut loose by its owner's deletion, it still is what the operator made.
    assert rules(ours.see_all([], {**serving(), "Service": [thing(**touched)]}, 1)) == []


def test_a_transition_time_that_moves_alone_is_found():
    judge = Judge()
    assert rules(judge.see_resource(resource(condition(since="1")))) == []
    assert rules(judge.see_resource(resource(condition("False", since="2", message="why")))) == []
    assert rules(judge.see_resource(resource(condition("False", since="3", message="why")))) == ["transition"]


@pytest.mark.parametrize(
    "bad",
    [
        condition("False"),
        condition("True", kind="Stalled"),
        condition("False", message="why", reason=""),
    ],
)
def test_a_bad_condition_without_a_word_is_found(bad):
    assert rules(Judge().see_resource(resource(bad))) == ["silence"]


def test_a_spec_without_a_word_for_a_minute_is_found():
    judge, late = Judge(), resource(generation=2, observed=1)
    assert rules(judge.see_all([late], serving(), 0)) == []
    assert rules(judge.see_all([late], serving(), 60)) == ["given-up"]


def test_as_a_program_it_reads_a_real_api_server(server, api, namespace, tmp_path, audit):
    audit.ignore(namespace)
    with Audit(server.kubeconfig, tmp_path) as another:
        api.create("llminferences", namespace, make_body())
        bad = {"status": {"conditions": [condition("False", since="2026-05-01T00:00:00Z", reason="Starting")]}}

        def find():
            # No operator runs here: whoever writes the status is the test.
            api.ask("PATCH", path("llminferences", namespace, "bert", "status"), bad, "application/merge-patch+json")
            return [one["rule"] for one in another.findings() if one["namespace"] == namespace]

        assert "silence" in eventually(find)


def test_its_own_end_does_not_go_unnoticed(server, tmp_path):
    with Audit(server.kubeconfig, tmp_path) as audit:
        audit._process.kill()
        audit._process.wait()
        with pytest.raises(AssertionError, match="the auditor has ended"):
            audit.findings()
