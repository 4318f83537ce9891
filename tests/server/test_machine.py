"""CPUs and memory as the kernel's files say, both cgroup versions."""

import subprocess
import sys

import pytest

from llmi_server.machine import (
    adds_products_of_bytes,
    computes_bfloat16,
    count_oom_kills,
    free_memory_bytes,
    has_device_driver,
    peak_memory_bytes,
    peak_memory_of_all_bytes,
    usable_cpus,
)

GIB = 1 << 30


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {64 * GIB // 1024} kB\n")
    (tmp_path / "fs").mkdir()
    return tmp_path


def cpus(cgroup):
    return usable_cpus(cgroup / "fs", cgroup / "membership")


def memory(cgroup):
    return free_memory_bytes(cgroup / "fs", cgroup / "membership", cgroup / "proc")


def write(cgroup, **files):
    for name, content in files.items():
        path = cgroup / "fs" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_without_a_limit_affinity_counts(cgroup):
    assert cpus(cgroup) == 8
    write(cgroup, cpu_dot_max="max 100000\n")
    assert cpus(cgroup) == 8


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2), ("250000", 2), ("50000", 1), ("1600000", 8)])
def test_a_quota_of_version_2_is_rounded_down_but_never_to_nothing(cgroup, quota, expected):
    write(cgroup, cpu_dot_max=f"{quota} 100000\n")
    assert cpus(cgroup) == expected


def test_a_quota_of_version_1_counts_too(cgroup):
    write(cgroup, cpu__cpu_dot_cfs_quota_us="300000\n", cpu__cpu_dot_cfs_period_us="100000\n")
    assert cpus(cgroup) == 3
    write(cgroup, cpu__cpu_dot_cfs_quota_us="-1\n")
    assert cpus(cgroup) == 8


def test_the_tightest_of_nested_groups_binds(cgroup):
    (cgroup / "membership").write_text("0::/kubepods/pod1/c1\n")
    write(cgroup, kubepods__cpu_dot_max="400000 100000", kubepods__pod1__c1__cpu_dot_max="max 100000")
    assert cpus(cgroup) == 4


def test_without_a_limit_the_machines_memory_counts(cgroup):
    assert memory(cgroup) == 64 * GIB
    write(cgroup, memory_dot_max="max\n", memory_dot_current="5\n")
    assert memory(cgroup) == 64 * GIB


def test_a_memory_limit_counts_and_file_cache_is_free(cgroup):
    write(cgroup, memory_dot_max=f"{2 * GIB}\n", memory_dot_current=f"{GIB}\n")
    assert memory(cgroup) == GIB
    write(cgroup, memory_dot_stat=f"anon 5\ninactive_file {GIB // 4}\nactive_file {GIB // 4}\n")
    assert memory(cgroup) == GIB + GIB // 2


def test_a_memory_limit_of_version_1_counts(cgroup):
    write(
        cgroup,
        memory__memory_dot_limit_in_bytes=f"{3 * GIB}\n",
        memory__memory_dot_usage_in_bytes=f"{GIB}\n",
    )
    assert memory(cgroup) == 2 * GIB
    write(cgroup, memory__memory_dot_limit_in_bytes="9223372036854771712\n")
    assert memory(cgroup) == 64 * GIB


def test_more_used_than_allowed_is_nothing_free(cgroup):
    write(cgroup, memory_dot_max=f"{GIB}\n", memory_dot_current=f"{2 * GIB}\n")
    assert memory(cgroup) == 0


@pytest.mark.parametrize("name", ["memory_dot_events", "memory__memory_dot_oom_control"])
def test_processes_killed_for_want_of_memory_are_counted_in_both_versions(cgroup, name):
    assert count_oom_kills(cgroup / "fs", cgroup / "membership") == 0
    write(cgroup, **{name: "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"})
    assert count_oom_kills(cgroup / "fs", cgroup / "membership") == 3


def test_what_processes_of_its_own_have_held_counts_too():
    code = "held = bytearray(60_000_000); print(len(held), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline()
        assert peak_memory_of_all_bytes() >= peak_memory_bytes() + 60_000_000
        child.communicate(b"\n")
    assert peak_memory_of_all_bytes() < peak_memory_bytes() + 60_000_000


@pytest.mark.parametrize("place", ["proc/driver/nvidia", "sys/class/kfd", "sys/class/accel", "sys/module/neuron"])
def test_devices_of_any_vendor_are_seen_by_their_drivers_even_where_this_container_has_none(tmp_path, place):
    proc, sysfs = tmp_path / "proc", tmp_path / "sys"
    assert not has_device_driver(proc, sysfs)
    (tmp_path / place).mkdir(parents=True)
    assert has_device_driver(proc, sysfs)


@pytest.mark.parametrize(
    ("flags", "bfloat16", "products_of_bytes"),
    [
        ("avx2", False, False),
        ("avx512f avx_vnni", False, False),
        ("avx512f avx512_vnni", False, True),
        ("avx512f avx512_vnni avx512_bf16", True, True),
        ("amx_bf16", True, False),
    ],
)
def test_instructions_are_those_that_the_kernel_tells(tmp_path, flags, bfloat16, products_of_bytes):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: fpu {flags}\n\nprocessor : 1\n")
    assert computes_bfloat16(tmp_path) is bfloat16
    assert adds_products_of_bytes(tmp_path) is products_of_bytes


def test_where_the_kernel_tells_no_instructions_there_are_none(tmp_path):
    assert not computes_bfloat16(tmp_path)
    (tmp_path / "cpuinfo").write_text("Processor : ARMv8\n")
    assert not adds_products_of_bytes(tmp_path)
