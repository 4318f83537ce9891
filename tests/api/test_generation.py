"""Generated files are written, and found out when they are old."""

import pytest

from llmi_api import generation


def test_a_missing_file_is_stale_until_it_is_written(tmp_path, monkeypatch):
    target = tmp_path / "docs" / "a.md"
    generators = {target: lambda: "text\n"}
    assert generation.find_stale(generators) == [target]
    monkeypatch.setattr("sys.argv", ["generate"])
    generation.run(generators, None)
    assert target.read_text() == "text\n"
    assert generation.find_stale(generators) == []


def test_check_names_the_stale_file_and_the_command_and_changes_nothing(tmp_path, monkeypatch):
    target = tmp_path / "a.md"
    target.write_text("old\n")
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    with pytest.raises(SystemExit, match=r"a\.md: not what the code says\. Run `make generate`"):
        generation.run({target: lambda: "new\n"}, None)
    assert target.read_text() == "old\n"
