"""Panels and rows, built with Grafana's own typed builders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HALF, QUARTER, STAT = 12, 6, 4


@dataclass(frozen=True)
class Line:
    """One query of a panel and what its lines are called."""

    query: str
    legend: str
    exemplars: bool = False


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Lines over time.

    Attributes:
        unit: One of Grafana's units.
        limit: Above it the background is marked, as the alert of the same number would fire.
        stand_in: Whose metrics a test must make up, because they cannot be had there.
    """

    title: str
    what: str
    unit: str
    lines: tuple[Line, ...]
    limit: float | None = None
    greatest: float | None = None
    stand_in: str = ""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number of now.

    Attributes:
        bad_from: From it on the number is red; ``bad_below`` likewise.
    """

    title: str
    what: str
    unit: str
    query: str
    bad_from: float | None = None
    bad_below: float | None = None
    stand_in: str = ""


@dataclass(frozen=True)
class Row:
    """Panels below a heading."""

    title: str
    panels: tuple[Graph | Number, ...]


def add_row(board: dashboard.Dashboard, row: Row) -> None:
    """Put a row and its panels at the end of a dashboard."""
    board.with_row(dashboard.Row(row.title))
    for one in row.panels:
        board.with_panel(_draw_number(one) if isinstance(one, Number) else _draw_graph(one))


def _draw_graph(graph: Graph) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.what)
        .datasource(SOURCE)
        .unit(graph.unit)
        .min(0)
        .height(8)
        .span(HALF)
        .fill_opacity(10)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if graph.greatest is not None:
        panel.max(graph.greatest)
    if graph.limit is not None:
        panel.thresholds(_steps((None, "green"), (graph.limit, "red")))
    for letter, line in zip("ABCDEFGH", graph.lines, strict=False):
        query = prometheus.Dataquery().ref_id(letter).expr(line.query).legend_format(line.legend).range()
        panel.with_target(query.exemplar(line.exemplars))
    return panel


def _draw_number(number: Number) -> stat.Panel:
    steps: list[tuple[float | None, str]] = [(None, "green")]
    if number.bad_below is not None:
        steps = [(None, "red"), (number.bad_below, "green")]
    if number.bad_from is not None:
        steps.append((number.bad_from, "red"))
    return (
        stat.Panel()
        .title(number.title)
        .description(number.what)
        .datasource(SOURCE)
        .unit(number.unit)
        .height(4)
        .span(STAT)
        .thresholds(_steps(*steps))
        .with_target(prometheus.Dataquery().ref_id("A").expr(number.query).instant())
    )


def _steps(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    found: Sequence[Threshold] = [Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(list(found))
