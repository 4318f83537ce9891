"""Writes the measured figures into docs/benchmarks.md, between two marks; what people wrote around them stays."""

from collections.abc import Iterable, Sequence

from llmi_api.markdown import write_table
from results import ROOT, Result, kept
from rows import ALL_ROWS, GPU_ROWS, HIGHER_IS_BETTER, ROWS, Figure, Row

PAGE = ROOT / "docs" / "benchmarks.md"
TABLES = {"<!-- begin: written by make bench -->": ROWS, "<!-- begin: written by make bench-gpu -->": GPU_ROWS}
"""What begins each table in the page."""

END = "<!-- end -->"
_UNITS = {
    Figure.TOKENS: (1, "tokens/s"),
    Figure.FLOOR: (1, "tokens/s"),
    Figure.P50: (1000, "ms"),
    Figure.FIRST_TOKEN: (1000, "ms"),
    Figure.START: (1, "s"),
    Figure.MEMORY: (2**-20, "MiB"),
}
"""Of the two numbers behind a ratio; figures without a unit have no two."""

_TIMELESS = (Figure.MEMORY, Figure.COSINE)
"""What strangers do not disturb."""

_HEAD = (
    "row",
    "figure",
    "must",
    "aim",
    "measured",
    "",
    "ours",
    "against",
    "by processor time",
    "rounds",
    "strangers",
    "load",
    "at",
)


def write() -> None:
    """Put the kept results into the page."""
    text = PAGE.read_text()
    for begin, rows in TABLES.items():
        if results := kept(rows):
            head, _, rest = text.partition(begin)
            text = f"{head}{begin}\n\n{rendered(results)}\n{rest[rest.index(END) :]}"
    PAGE.write_text(text)


def rendered(results: Sequence[Result]) -> str:
    """Return the table of all rows that were tried, and where that was."""
    machines = _once(result.at.machine for result in results)
    versions = _once(f"{name} {version}" for result in results for name, version in result.at.versions.items())
    where = f"Machine: {'; '.join(machines)}. Versions: {', '.join(sorted(versions))}.\n"
    return write_table(_HEAD, [_line(result, ALL_ROWS[result.key]) for result in results]) + "\n" + where


def brief(result: Result) -> str:
    """Return a result in a few words."""
    row = ALL_ROWS[result.key]
    if not result.values:
        return f"not run, {result.reason}"
    return f"{row.figure} {_measured(result)}: {_verdict(result, row)} (must {row.must:g}); {_rounds(result)}"


def _line(result: Result, row: Row) -> list[str]:
    bounds = [f"{_sign(row)} {bound:g}" for bound in (row.must, row.aim)]
    measured = ["not run", result.reason, "", "", "", "", ""]
    if result.values:
        behind = _behind(result, row)
        effort = f"{result.effort:.3g}" if result.effort else ""
        measured = [
            _measured(result),
            _verdict(result, row),
            *behind,
            effort,
            _rounds(result),
            f"{result.strangers:.2f}",
        ]
    when = [f"{result.at.load}", f"{result.at.date}, `{result.at.commit}`"]
    return [row.title, row.figure, *bounds, *measured, *when]


def _sign(row: Row) -> str:
    return "≥" if row.figure in HIGHER_IS_BETTER else "≤"


def _measured(result: Result) -> str:
    return f"{result.median:.3g} ({min(result.values):.3g} to {max(result.values):.3g})"


def _verdict(result: Result, row: Row) -> str:
    if not result.quiet and row.figure not in _TIMELESS:
        return "unsettled"
    if row.reaches(result.median, row.aim):
        return "aim"
    return "must" if row.reaches(result.median, row.must) else "**missed**"


def _behind(result: Result, row: Row) -> tuple[str, str]:
    """Return the two numbers behind a ratio."""
    if row.figure not in _UNITS:
        return "", ""
    factor, unit = _UNITS[row.figure]
    return f"{result.ours * factor:.4g} {unit}", f"{result.other * factor:.4g} {unit}"


def _rounds(result: Result) -> str:
    kind = "quiet" if result.quiet else "none quiet"
    return f"{len(result.values)} of {result.all_rounds}, {kind}"


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
