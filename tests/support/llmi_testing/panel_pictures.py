"""Draws the dashboards' panels out of what a real Prometheus answers: pictures for docs/observability.md.

``python -m llmi_testing.panel_pictures docs/images`` runs models under load for two minutes, one of them
overloaded in the second, and asks the queries of the dashboards. Grafana itself is not there: what is
drawn are the same queries, titles, units and limits.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from html import escape
from pathlib import Path

from llmi_testing.monitoring_stack import Stack, hasten
from llmi_testing.watched_models import watched_models
from observability.dashboards import BOARDS, Board
from observability.panel import Graph, Number

WIDTH, GRAPH_HEIGHT, NUMBER_HEIGHT, GAP, HEAD = 1160, 190, 74, 10, 26
COLOURS = ("#3274d9", "#e0752d", "#56a64b", "#b877d9", "#c4162a", "#8f9bb3", "#00a3a3")
SECONDS, STEP = 60, 2
Series = list[tuple[str, list[tuple[float, float]]]]


def draw_board(board: Board, ask: Callable[[str, str], Series], begin: float, end: float) -> str:
    """Draw a dashboard as SVG; ``ask`` answers a query and its legend."""
    parts: list[str] = []
    top = GAP
    for row in board.rows:
        parts.append(f'<text x="{GAP}" y="{top + 16}" class="row">{escape(row.title)}</text>')
        top += HEAD
        for kind, columns, height in ((Number, 6, NUMBER_HEIGHT), (Graph, 2, GRAPH_HEIGHT)):
            panels = [one for one in row.panels if isinstance(one, kind)]
            width = (WIDTH - GAP) / columns
            for index, panel in enumerate(panels):
                x, y = GAP + index % columns * width, top + index // columns * (height + GAP)
                inner = (
                    _number(panel, ask) if isinstance(panel, Number) else _graph(panel, ask, begin, end, width - GAP)
                )
                box = f'<rect width="{width - GAP:.0f}" height="{height}" class="box"/>'
                title = f'<text x="8" y="17" class="title">{escape(panel.title)}</text>'
                parts.append(f'<g transform="translate({x:.0f} {y:.0f})">{box}{title}{inner}</g>')
            top += math.ceil(len(panels) / columns) * (height + GAP)
    style = (
        "text{font:11px sans-serif;fill:#333}.row{font-size:14px;font-weight:bold}.title{font-weight:bold}"
        ".box{fill:#fff;stroke:#d0d4da}.big{font-size:26px}.line{fill:none;stroke-width:1.5}.axis{stroke:#e4e7eb}"
        ".limit{stroke:#c4162a;stroke-dasharray:4 3}.made{fill:#888;font-style:italic}"
    )
    back = f'<rect width="{WIDTH + GAP}" height="{top}" fill="#f4f5f7"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + GAP} {top}">'
        f"<title>{escape(board.title)}</title>"
        f"<style>{style}</style>{back}{''.join(parts)}</svg>\n"
    )


def _number(panel: Number, ask: Callable[[str, str], Series]) -> str:
    found = [points[-1][1] for _, points in ask(panel.query, "") if points]
    text = _say(found[0], panel.unit) if found else "none"
    bad = bool(found) and (
        (panel.bad_from is not None and found[0] >= panel.bad_from)
        or (panel.bad_below is not None and found[0] < panel.bad_below)
    )
    colour = "#c4162a" if bad else "#2f7d32"
    return f'<text x="8" y="52" class="big" style="fill:{colour}">{text}</text>{_made(panel.stand_in, 68)}'


def _graph(panel: Graph, ask: Callable[[str, str], Series], begin: float, end: float, width: float) -> str:
    series = [one for line in panel.lines for one in ask(line.query, line.legend)]
    most = max((value for _, points in series for _, value in points), default=0)
    top = max(most, panel.greatest or 0) * 1.08 or 1
    left, right, floor, ceiling = 64, width - 10, 138, 28
    parts = []
    for share in (0, 0.5, 1):
        y = floor - share * (floor - ceiling)
        parts.append(f'<line x1="{left}" x2="{right:.0f}" y1="{y:.0f}" y2="{y:.0f}" class="axis"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{_say(top * share, panel.unit)}</text>')
    if panel.limit is not None and panel.limit <= top:
        y = floor - panel.limit / top * (floor - ceiling)
        parts.append(f'<line x1="{left}" x2="{right:.0f}" y1="{y:.0f}" y2="{y:.0f}" class="limit"/>')
    x_of = (right - left) / (end - begin)
    column = 0.0
    for index, (name, points) in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(
            f"{left + (at - begin) * x_of:.0f},{floor - value / top * (floor - ceiling):.1f}" for at, value in points
        )
        parts.append(f'<polyline points="{path}" class="line" stroke="{colour}"/>')
        row, place = divmod(index, 4)
        column = 10 + place * (width - 20) / 4
        said = escape(name.removeprefix("models/"))
        parts.append(f'<text x="{column:.0f}" y="{158 + row * 13}" style="fill:{colour}">{said}</text>')
    return "".join(parts) + _made(panel.stand_in, 184)


def _made(source: str, y: int) -> str:
    return f'<text x="8" y="{y}" class="made">made up: {escape(source)}</text>' if source else ""


def _say(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    suffix = {"s": " s", "reqps": " req/s", "ops": " /s", "watt": " W"}.get(unit, "")
    return f"{value:.3g}{suffix}"


def _asker(stack: Stack, values: dict[str, str], begin: float, end: float) -> Callable[[str, str], Series]:
    def ask(query: str, legend: str) -> Series:
        for name, value in values.items():
            query = query.replace(f"${name}", value)
        found: Series = []
        for one in stack.query_range(hasten(query), begin, end, STEP):
            name = legend
            for label, value in one["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            points = [(float(at), float(value)) for at, value in one["values"] if math.isfinite(float(value))]
            if points:
                found.append((name, points))
        return found

    return ask


def main() -> None:
    """Run everything and write one SVG for each dashboard."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as block:
        scratch = Path(block.enter_context(tempfile.TemporaryDirectory()))
        watched = block.enter_context(watched_models(scratch))
        begin = time.time()
        time.sleep(SECONDS)
        watched.models.overload_one()
        time.sleep(SECONDS)
        end = time.time()
        for board in BOARDS:
            chosen = {"namespace": "models", "llminference": "overloaded"} if board.variables else {}
            picture = draw_board(board, _asker(watched.stack, chosen, begin, end), begin, end)
            (folder / f"{board.uid}.svg").write_text(picture)


if __name__ == "__main__":
    main()
