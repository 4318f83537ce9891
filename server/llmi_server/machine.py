"""What this machine or container gives us: CPUs and memory, read from the kernel's files."""

import contextlib
import importlib.util
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

_UNLIMITED = 1 << 60
_MOST_FILES = 16_384
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cpus(cgroup: Path = _CGROUP, membership: Path = _OWN_CGROUP) -> int:
    """Return how many threads can run at once: affinity and CPU limit, rounded down, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders(cgroup, membership, "cpu") if (quota := _cpu_quota(folder)) is not None]
    return max(1, int(min([allowed, *quotas])))


def free_memory_bytes(cgroup: Path = _CGROUP, membership: Path = _OWN_CGROUP, proc: Path = Path("/proc")) -> int:
    """Return how many bytes this process may still allocate, by the memory limit or else by the machine."""
    room = [_from_meminfo(proc, "MemAvailable")]
    for folder in _folders(cgroup, membership, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _UNLIMITED:
            room.append(limit - used + _reclaimable(folder))
    return max(0, min(room))


def memory_limit_bytes(cgroup: Path = _CGROUP, membership: Path = _OWN_CGROUP, proc: Path = Path("/proc")) -> int:
    """Return how many bytes this container may have at all, by its memory limit or else by the machine's size."""
    room = [_from_meminfo(proc, "MemTotal")]
    for folder in _folders(cgroup, membership, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is not None:
            room.append(limit)
    return min(room)


def may_have_gpu() -> bool:
    """Say whether NVIDIA's libraries are installed, without which PyTorch computes on the processor only."""
    return importlib.util.find_spec("nvidia") is not None


def has_device_driver(proc: Path = Path("/proc"), sysfs: Path = Path("/sys")) -> bool:
    """Say whether this machine drives GPUs or the like, be they for this container or for one beside it."""
    places = (proc / "driver/nvidia", sysfs / "class/kfd", sysfs / "class/accel", sysfs / "module/neuron")
    return any(place.exists() for place in places)


def peak_memory_bytes(process: int | None = None) -> int:
    """Return the most memory that this process, or another of ours, has held, mapped files included; 0 if unknown."""
    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text().splitlines()
    except OSError:
        lines = []
    held = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
    if held or process is not None:
        return held
    # Elsewhere than on Linux; there it would count what the process had held that started this one.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_memory_of_all_bytes(proc: Path = Path("/proc")) -> int:
    """Return the most memory that this process and those it started have held, each at its own time."""
    return peak_memory_bytes() + sum(peak_memory_bytes(child) for child in _find_children(proc))


def count_oom_kills(cgroup: Path = _CGROUP, membership: Path = _OWN_CGROUP) -> int:
    """Return how many processes of our group the kernel has killed for want of memory; 0 if unknown."""
    for folder in _folders(cgroup, membership, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError, ValueError):
                lines = (folder / name).read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def computes_bfloat16(proc: Path = Path("/proc")) -> bool:
    """Say whether the processor multiplies bfloat16 by instructions of its own, rather than ten times as slow."""
    return not _BFLOAT16_FLAGS.isdisjoint(_instructions(proc))


def adds_products_of_bytes(proc: Path = Path("/proc")) -> bool:
    """Say whether the processor multiplies bytes and adds the products in one instruction of AVX-512."""
    return "avx512_vnni" in _instructions(proc)


def _instructions(proc: Path) -> Sequence[str]:
    try:
        lines = (proc / "cpuinfo").read_text().splitlines()
    except OSError:
        return ()
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ())


def raise_file_limit() -> None:
    """Let this process have as many open files, and so connections, as it may and may need."""
    with contextlib.suppress(OSError, ValueError):
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MOST_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_FILES)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _find_children(proc: Path) -> set[int]:
    """Without those that a kernel does not tell."""
    found: set[int] = set()
    for task in (proc / "self" / "task").glob("*"):
        with contextlib.suppress(OSError, ValueError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


def _folders(cgroup: Path, membership: Path, controller: str) -> list[Path]:
    """Return the folders whose limits bind us, version 2 and version 1, own group first, then its parents."""
    groups = _own_groups(membership)
    found = []
    for base, group in ((cgroup, groups.get("", "/")), (cgroup / controller, groups.get(controller, "/"))):
        own = base / group.lstrip("/")
        chain = [own, *own.parents]
        found += [folder for folder in chain[: chain.index(base) + 1] if folder.is_dir()]
    return found


def _own_groups(membership: Path) -> dict[str, str]:
    groups = {}
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if ".." not in path:
            groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _cpu_quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        old_quota, old_period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if old_quota is None or not old_period or old_quota <= 0:
            return None
        return old_quota / old_period
    return None if quota == "max" else int(quota) / int(period)


def _reclaimable(folder: Path) -> int:
    """File cache counts as used but is given back under pressure."""
    try:
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0
    names = ("inactive_file", "active_file")
    return sum(int(fields.get(f"total_{name}", fields.get(name, 0))) for name in names)


def _from_meminfo(proc: Path, name: str) -> int:
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return _UNLIMITED


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
