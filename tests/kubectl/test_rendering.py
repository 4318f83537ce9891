import dataclasses
import io
import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from llmi_kubectl.advice import UsageSummary
from llmi_kubectl.change import Action, Change, Devices, Step
from llmi_kubectl.picture import draw_picture
from llmi_kubectl.rendering import (
    Answer,
    describe_age,
    make_printable,
    print_parts,
    render_answer,
    render_change,
    render_status,
    to_json,
)
from llmi_testing.inference import make_stored_body

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
CHANGE = Change(
    namespace="models",
    name="bert",
    is_new=False,
    steps=(
        Step(Action.UPDATE, "Deployment", "bert", ("a", "b", "c", "d", "e")),
        Step(Action.KEEP, "Service", "bert"),
        Step(Action.REFUSE, "ConfigMap", "bert-model"),
    ),
    restarted=2,
    restart_fields=("a",),
    replicas_before=2,
    replicas=2,
    devices=(Devices("nvidia.com/gpu", each=1, wanted=2, held=2, free=None),),
    room=None,
    gap="None.",
    notes=("You may not list nodes.",),
)

USED = UsageSummary(
    replicas=2,
    serving_seconds=3 * 3600 + 5,
    busy_seconds=500.0,
    hour_busy_share=0.04,
    minute_busy_share=0.11,
    peak_memory_bytes=2 * 2**30,
)


def plain(parts):
    console = Console(file=io.StringIO(), highlight=False)
    print_parts(console, parts)
    return console.file.getvalue()


def picture(**status):
    return draw_picture({**make_stored_body(), "status": {"observedGeneration": 1, **status}}, [], [], NOW)


def test_elsewhere_than_in_a_terminal_lines_are_whole_and_have_no_padding_and_no_colour():
    why = "A very long sentence. " * 20
    text = plain(render_status(picture(why=why, ready="0/1")))
    assert why.strip() in text
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_terminal_gets_colours_and_its_own_width():
    file = io.StringIO()
    print_parts(Console(file=file, force_terminal=True, width=60, color_system="standard"), render_status(picture()))
    assert "\x1b[" in file.getvalue()


def test_a_status_begins_with_how_many_are_ready_and_why():
    lines = plain(render_status(picture(ready="0/1", why="No node has room: add one."))).splitlines()
    assert lines[0] == "bert in models: 0/1 ready"
    assert lines[1] == "No node has room: add one."
    assert any("none while no replica answers" in line for line in lines)


def test_an_old_status_is_said_to_be_old():
    body = {**make_stored_body(generation=2), "status": {"observedGeneration": 1}}
    assert "not looked at the present spec yet" in plain(render_status(draw_picture(body, [], [], NOW)))


def test_a_change_names_what_happens_and_leaves_out_what_stays():
    text = plain(render_change(CHANGE))
    assert text.splitlines()[0] == "bert in models would change."
    assert "update  Deployment/bert" in text
    assert "a, b, c, d and 1 more" in text
    assert "Service/bert" not in text
    assert "taken by an object that is not the operator's" in text
    assert "2 needed, 1 a replica (now 2); how many are free is unknown" in text
    assert text.splitlines()[-1] == "Note: You may not list nodes."


def test_an_answer_in_an_unknown_shape_is_shown_as_it_is():
    answer = Answer("models", "bert", "fill-mask", "text", 0.1, None, {"a": [1]})
    assert plain(render_answer(answer)).splitlines() == ["text", '{"a": [1]}', "bert answered in 0.100 s."]


def test_what_a_terminal_would_obey_is_taken_away():
    assert make_printable("a\x1b[2Jb\x07\x9bc\td\n") == "a\ufffd[2Jb\ufffd\ufffdc\td\n"
    assert "\x1b" not in plain(render_status(picture(why="\x1b]0;owned\x07")))
    assert "[bold]" in plain(render_status(picture(why="[bold]not markup[/bold]")))


def test_json_has_the_names_that_kubernetes_would_use():
    data = json.loads(to_json({"changes": [CHANGE]}))["changes"][0]
    assert data["isNew"] is False
    assert data["restartFields"] == ["a"]
    assert data["steps"][0] == {"action": "update", "kind": "Deployment", "name": "bert", "fields": list("abcde")}


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0, "0s"), (59.9, "59s"), (60, "1m"), (7300, "2h"), (200000, "2d")]
)
def test_an_age_has_one_unit(seconds, text):
    assert describe_age(seconds) == text


def test_the_program_that_measures_has_a_line():
    metrics = "CPU: metrics-server in kube-system"
    assert metrics in plain(render_status(picture(scaling={"source": metrics})))


def test_what_replicas_use_has_a_line_and_too_short_a_time_is_said():
    def show(**changed):
        return plain(render_status(dataclasses.replace(picture(), used=dataclasses.replace(USED, **changed))))

    assert (
        "computed 4% of the last hour, 11% of its busiest minute; 2.00 GiB held at most in 3 h (2 replicas asked)"
    ) in show()
    assert (
        "computed 4% of the 12 min in which it serves, 2.00 GiB held at most; too short a time for advice, which takes "
        "an hour (1 replica asked)"
    ) in show(serving_seconds=730, replicas=1)
    assert "in 4 days (" in show(serving_seconds=4.5 * 86400)
    assert "for advice, which takes 15 min (" in show(serving_seconds=730, enough_seconds=900)
    assert (
        "computed 4% of the last 16 min, 11% of its busiest minute; 2.00 GiB held at most in 16 min (2 replicas asked)"
    ) in show(serving_seconds=965, enough_seconds=900)


def test_a_cost_comes_with_its_arithmetic_and_an_unknown_one_with_what_is_missing():
    cost = {
        "perHour": "0.5000", "perMonthAtMin": "1", "perMonthAtMax": "2", "currency": "USD", "source": "mine",
        "because": "1 x 25% of big at 2 (cpu).",
    }  # fmt: skip
    words = "0.5000 USD an hour, a month 1 at the fewest replicas and 2 at the most: 1 x 25% of big at 2 (cpu) (mine)"
    assert words in plain(render_status(picture(cost=cost)))
    lost = {"perHour": "unknown", "because": "the list of prices has no price for the node type big."}
    assert "unknown: the list of prices has no price for the node type big" in plain(render_status(picture(cost=lost)))
