"""The three dashboards: the fleet, one model, the operator."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, VariableRefresh, VariableSort

from observability.board import Board
from observability.fleet_board import FLEET
from observability.model_board import MODEL
from observability.operator_board import OPERATOR
from observability.panel import SOURCE, add_row

BOARDS = (FLEET, MODEL, OPERATOR)


def write_dashboard(board: Board) -> str:
    """Write a dashboard as Grafana imports it."""
    found = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.what)
        .tags(["llminference"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    before = ""
    for name in board.variables:
        found.with_variable(_variable(name, before, several=board.several))
        before = f'{name}=~"${name}"'
    for row in board.rows:
        add_row(found, row)
    return JSONEncoder(sort_keys=True, indent=2).encode(found.build()) + "\n"


def _variable(name: str, before: str, *, several: bool) -> dashboard.QueryVariable:
    variable = (
        dashboard.QueryVariable(name)
        .query(f"label_values(llminference:pod:up{{{before}}}, {name})")
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    return variable.multi(True).include_all(True).all_value(".+") if several else variable  # noqa: FBT003 - Grafana's
