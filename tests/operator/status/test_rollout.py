import pytest

from llmi_api.v1alpha1 import LLMInferenceStatus, RolloutMode, RolloutStatus, StartupStatus
from llmi_operator.plan.rollout import RolloutDecision, RolloutReason
from llmi_operator.status import compute_status
from llmi_testing.inference import DEFAULTS, make_resource
from llmi_testing.observations import NOW, condition, deployment, observed, pod, ready_pod, running
from llmi_testing.situations import unschedulable

SURGE, REPLACE = RolloutMode.SURGE, RolloutMode.REPLACE
GPU = {"accelerator": {}}
BESIDE = "a new replica starts before an old one goes"
ALWAYS = f"{BESIDE}: somebody answers all the time."
IN_TURN = "replicas are replaced one by one, and nobody answers for about 45s, as the last start took."
LAST = StartupStatus(replica="bert-1-a", scheduled="2.0s", answered="41.2s", loaded="30s", warmed="1s")
REST = deployment(1, ready=1)
ROLLING = deployment(1, ready=1, total=2, updated=1)


def judge(mode, reason, *pods, spec=None, previous=None, state=REST, **facts):
    decision = RolloutDecision(mode, RolloutReason[reason], **facts)
    seen = observed(*(pods or (ready_pod(),)), deployment=state)
    before = previous or LLMInferenceStatus(startup=LAST)
    return compute_status(make_resource(**(GPU if spec is None else spec)), seen, before, DEFAULTS, decision)


@pytest.mark.parametrize(
    ("mode", "reason", "words"),
    [
        (SURGE, "ASKED", f"As asked for, {ALWAYS}"),
        (REPLACE, "ASKED", f"As asked for, {IN_TURN}"),
        (SURGE, "NO_ACCELERATOR", f"No accelerator is asked for, so {ALWAYS}"),
        (SURGE, "AT_REST", f"In the next rollout {BESIDE} if a nvidia.com/gpu is free for it; else {IN_TURN}"),
        (SURGE, "ROOM_BESIDE", f"A node has a free nvidia.com/gpu, so {ALWAYS}"),
        (REPLACE, "ROOM_IN_PLACE", f"No nvidia.com/gpu is free for a replica more, so {IN_TURN}"),
        (
            SURGE,
            "NO_ROOM",
            "No node has room for the new version, not even in the place of an old replica, so the old ones go on.",
        ),
        (SURGE, "ROOM_UNKNOWN", f"The nodes may not be read, so {BESIDE}; if that finds no room, {IN_TURN}"),
        (REPLACE, "STUCK", f"A new replica found no room beside the old ones, so {IN_TURN}"),
    ],
)
def test_how_replicas_are_replaced_is_said_with_what_it_means_for_callers(mode, reason, words):
    assert judge(mode, reason).status.rollout.because == words


def test_of_several_replicas_one_is_missing():
    status = judge(REPLACE, "ROOM_IN_PLACE", state=deployment(3, ready=3)).status
    assert "replaced one by one, and one fewer answers for about 45s" in status.rollout.because


def test_a_first_start_has_no_gap_to_go_by():
    status = judge(REPLACE, "ASKED", previous=LLMInferenceStatus(), state=deployment(1)).status
    assert status.rollout == RolloutStatus(
        mode="Replace",
        because="As asked for, replicas are replaced one by one, and nobody answers for as long as a start takes.",
    )


def test_beside_the_old_ones_no_gap_is_named():
    assert judge(SURGE, "NO_ACCELERATOR", spec={}).status.rollout.gap is None


def test_what_was_said_when_a_rollout_began_stays_until_it_is_over():
    before = judge(REPLACE, "ROOM_IN_PLACE").status
    starting = pod("bert-2-a", revision="2", server=running())
    during = judge(REPLACE, "GOES_ON", starting, previous=before, state=deployment(1)).status
    assert during.startup.answered is None
    assert during.rollout == before.rollout
    after = judge(SURGE, "AT_REST", previous=during).status
    assert after.rollout.mode == "Surge"


def test_nobody_answers_is_said_while_it_is_so():
    before = judge(REPLACE, "ROOM_IN_PLACE").status
    starting = pod("bert-2-a", revision="2", server=running())
    status = judge(REPLACE, "GOES_ON", starting, previous=before, state=deployment(1)).status
    assert status.why == (
        "The server is loading google-bert/bert-large-uncased. Nobody answers until the new replica does, for about "
        "45s in all: status.rollout says why."
    )


def test_a_successor_whose_predecessor_still_stops_lacks_nothing():
    before = judge(REPLACE, "ROOM_IN_PLACE").status
    successor = unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    pods = (ready_pod("old", deleting=True, revision="0", created_at=None), successor)
    status = judge(REPLACE, "GOES_ON", *pods, previous=before, state=deployment(1)).status
    assert status.why.startswith(
        "The replica bert-1-a waits for an older one to stop, which takes at most 45 s. Nobody"
    )
    assert {item.type: item.status for item in status.conditions}["Degraded"] == "False"


def test_a_new_replica_that_finds_no_room_yet_is_looked_at_again():
    new = pod("new", revision="2", created_at=NOW, conditions={"PodScheduled": condition("False", "Unschedulable")})
    verdict = judge(SURGE, "GOES_ON", ready_pod(), new, state=ROLLING, waits=True)
    assert verdict.status.why == (
        "The new replica finds no free nvidia.com/gpu beside the older ones: if that stays so, they are replaced one "
        "by one."
    )
    assert verdict.recheck_seconds


def test_who_asked_for_surge_hears_of_the_other_way():
    new = pod("new", revision="2", created_at=NOW, conditions={"PodScheduled": condition("False", "Unschedulable")})
    spec = {**GPU, "rollout": {"mode": "Surge"}}
    status = judge(SURGE, "ASKED", ready_pod(), new, spec=spec, state=ROLLING).status
    assert status.why.endswith(
        "With spec.rollout.mode Auto, an old replica makes room. Until then 1 replica goes on answering."
    )


def test_a_paused_resource_says_what_it_said_before():
    before = judge(REPLACE, "ROOM_IN_PLACE").status
    status = compute_status(make_resource(**GPU), observed(ready_pod(), deployment=REST), before, DEFAULTS).status
    assert status.rollout == before.rollout
