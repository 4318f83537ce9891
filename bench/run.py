"""Measures our server against others: ``make bench``, or ``python bench/run.py ROW...`` for some rows.

Each row is a ratio of two servers in one run: blocks of the same requests go to one and to the other in turn, the one
that waits is held still, and rounds in which strangers used the processor do not count. The figures go to
build/bench/rows and from there to docs/benchmarks.md (``--report`` alone writes it anew). ``make bench-peers`` installs
the others; a row whose server is not there, or fails, says so.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import groupby

import aiohttp

import report
from experiments import Round, rounds_of
from load import RefusedError
from peers import is_installed
from results import Result, is_quiet, keep, not_run, summarised
from rows import ALL_ROWS, GPU_ROWS, ROWS, Duel, Experiment, Starts
from running import NotStartedError
from servers import SERVERS


def measure(experiment: Experiment, keys: list[str], *, rounds: int, seconds: float, scale: float) -> list[Result]:
    """Measure what some rows share."""
    if missing := _missing_peer(experiment):
        return [not_run(key, f"{missing} is not installed: make bench-peers") for key in keys]
    try:
        done = list(_enough(rounds_of(experiment, scale=scale), rounds=rounds, seconds=seconds))
    except (NotStartedError, RefusedError, aiohttp.ClientError) as error:
        return [not_run(key, f"{type(error).__name__}: {error}") for key in keys]
    return [summarised(key, ALL_ROWS[key].figure, done) for key in keys]


def _enough(measured: Iterator[Round], *, rounds: int, seconds: float) -> Iterator[Round]:
    """Yield rounds until so many quiet ones are in hand, or so long after the first one."""
    end, quiet = math.inf, 0
    for one in measured:
        yield one
        end = min(end, time.monotonic() + seconds)
        quiet += is_quiet(one)
        values = ", ".join(f"{figure} {pair.value:.3g}" for figure, pair in one.pairs.items())
        effort = f", by processor time {one.effort.value:.3g}" if one.effort else ""
        print(f"  {values}{effort}; strangers {one.strangers:.2f}", flush=True)
        if quiet >= rounds or time.monotonic() > end:
            return


def _missing_peer(experiment: Experiment) -> str | None:
    if not isinstance(experiment, Duel | Starts):
        return None
    peer = SERVERS[experiment.other].peer
    return peer if peer and not is_installed(peer) else None


def _by_experiment(keys: Iterable[str]) -> Iterator[tuple[Experiment, list[str]]]:
    order = list(dict.fromkeys(row.experiment for row in ALL_ROWS.values()))
    chosen = sorted(keys, key=lambda key: order.index(ALL_ROWS[key].experiment))
    for experiment, together in groupby(chosen, key=lambda key: ALL_ROWS[key].experiment):
        yield experiment, list(together)


def main() -> None:
    """Read the command line, measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all unless named: {', '.join(ALL_ROWS)}")
    parser.add_argument("--rounds", type=int, default=5, help="quiet rounds that each row needs")
    parser.add_argument("--seconds", type=float, default=600, help="no further round so long after a row's first")
    parser.add_argument(
        "--scale",
        type=float,
        default=1,
        help="factor for the requests; below 1 is a trial, and not kept",
    )
    parser.add_argument("--gpu", action="store_true", help="the rows for a machine with a GPU, unless some are named")
    parser.add_argument("--report", action="store_true", help="measure nothing, write docs/benchmarks.md anew")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ALL_ROWS):
        sys.exit(f"bench: {', '.join(sorted(unknown))}: no such row; there are {', '.join(ALL_ROWS)}")
    if not options.report:
        for experiment, keys in _by_experiment(options.rows or (GPU_ROWS if options.gpu else ROWS)):
            print(f"measuring {', '.join(keys)}", flush=True)
            results = measure(experiment, keys, rounds=options.rounds, seconds=options.seconds, scale=options.scale)
            for result in results:
                print(f"{result.key}: {report.brief(result)}", flush=True)
                if options.scale == 1:
                    keep(result)
    if options.scale == 1:
        report.write()


if __name__ == "__main__":
    main()
