"""Every query of every panel has an answer, asked of the Prometheus that watches the models."""

import json
import re
from pathlib import Path

import pytest

from llmi_testing.eventually import eventually
from llmi_testing.monitoring_stack import hasten
from observability.dashboards import BOARDS
from observability.panel import Graph

pytestmark = [pytest.mark.observability, pytest.mark.timeout(600)]
FOLDER = Path(__file__).parents[2] / "deploy" / "observability" / "grafana"
PANELS = [(board, panel) for board in BOARDS for row in board.rows for panel in row.panels]
VARIABLES = {"fleet": {"namespace": ".+"}, "operator": {}}
# No model has all: an encoder has no first token, and only one model of these has a GPU.
CHOICES = ({"namespace": "models", "llminference": "well"}, {"namespace": "models", "llminference": "chat"})


def queries(panel):
    return [line.query for line in panel.lines] if isinstance(panel, Graph) else [panel.query]


def choose(query, values):
    for name, value in values.items():
        query = query.replace(f"${name}", value)
    assert "$" not in query, query
    return hasten(query)


def choices(board):
    return CHOICES if "llminference" in board.variables else ({"namespace": "models"},)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[f"{b.uid}: {p.title}" for b, p in PANELS])
def test_every_query_of_a_panel_has_an_answer(board, panel, watched):
    for query in queries(panel):
        answers = lambda: [  # noqa: E731
            one
            for values in choices(board)
            for one in watched.stack.query(choose(query, values))  # noqa: B023
            if one["value"][1] != "NaN"
        ]
        eventually(answers, query, seconds=120)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_file_has_those_panels_with_units_and_the_chosen_source(board):
    body = json.loads((FOLDER / f"{board.uid.removeprefix('llminference-')}.json").read_text())
    drawn = [panel for panel in body["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in drawn] == [panel.title for row in board.rows for panel in row.panels]
    for panel in drawn:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["description"]
    variables = {one["name"]: one for one in body["templating"]["list"]}
    assert set(variables) == {"datasource", *board.variables}
    used = set(re.findall(r"\$(\w+)", json.dumps([panel["targets"] for panel in drawn])))
    assert used == set(board.variables)


@pytest.mark.parametrize("board", [board for board in BOARDS if board.variables], ids=lambda board: board.uid)
def test_the_variables_find_the_models(board, watched):
    answer = watched.stack.http.get(
        f"/api/v1/label/{board.variables[-1]}/values", params={"match[]": "llminference:pod:up"}
    )
    assert {"models", "well"} & set(answer.json()["data"])
