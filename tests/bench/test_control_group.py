import subprocess

import control_group


def test_a_command_runs_in_its_group_or_without_one(tmp_path):
    command = control_group.inside("a-test", ["cat", "/proc/self/cgroup"])
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    control_group.remove("a-test")
    assert len(command) == 2 or "llmi-bench-a-test" in told


def test_where_no_group_may_be_made_the_command_is_as_it_was(monkeypatch, tmp_path):
    nowhere = (tmp_path / "absent" / "cpu", "cpu.weight", 100)
    monkeypatch.setattr(control_group, "_FIRST_VERSION", nowhere)
    monkeypatch.setattr(control_group, "_SECOND_VERSION", nowhere)
    assert control_group.inside("a-test", ["true"]) == ["true"]
