"""What later tiers need is built while earlier ones run, and gets in nobody's way."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event

import pytest

import cache
import gobuild
import needs
from cache import Artifact
from gobuild import Programs
from mode import Mode
from steps import sh

PATIENCE = 60


class Built:
    """Stands in for a program: tells that its build began, and does what it was told to."""

    def __init__(self, build) -> None:
        self.began, self.build = Event(), build

    def build_meanwhile(self, log: Path) -> None:
        self.began.set()
        self.build(log)


@pytest.fixture
def later(monkeypatch, tmp_path):
    """Declares what later tiers need."""

    def declare(*programs: Built) -> None:
        monkeypatch.setattr(needs, "programs", lambda tier, *, offline: programs)
        monkeypatch.setattr(needs, "LOG_DIR", tmp_path)

    return declare


def test_programs_of_later_tiers_are_built_one_after_another_while_the_body_runs(later) -> None:
    order: list[str] = []
    first, second = Built(lambda _: order.append("first")), Built(lambda _: order.append("second"))
    later(first, second)
    with needs.made_meanwhile(["apiserver"]):
        assert second.began.wait(PATIENCE)
    assert order == ["first", "second"]


def test_a_build_that_nobody_waits_for_any_more_is_stopped(later) -> None:
    endless = Built(lambda log: sh([sys.executable, "-c", "import signal; signal.pause()"], log))
    never = Built(lambda _: None)
    later(endless, never)
    with needs.made_meanwhile(["apiserver"]):
        assert endless.began.wait(PATIENCE)
    assert not never.began.is_set()


def test_a_build_that_fails_is_left_to_whoever_needs_it(later) -> None:
    failing = Built(lambda log: sh(["false"], log))
    later(failing)
    with needs.made_meanwhile(["apiserver"]):
        assert failing.began.wait(PATIENCE)


@pytest.mark.parametrize(("mode", "is_built"), [(Mode.BUILD, True), (Mode.PULL, False)])
def test_what_a_cluster_could_pull_is_not_built_for_it(mode, is_built, monkeypatch) -> None:
    monkeypatch.setattr(needs.shutil, "which", lambda _: "/usr/bin/docker")
    monkeypatch.setenv("CLUSTER_MODE", mode)
    monkeypatch.delenv("CLUSTER", raising=False)
    wanted = needs._programs_in_order(["faults", "cluster"])
    assert wanted[0] == gobuild.kubernetes()
    assert (gobuild.containerd() in wanted) is is_built
    assert (gobuild.prometheus() in wanted) is is_built


def test_a_build_in_the_background_takes_only_what_others_leave_of_the_processor(tmp_path, monkeypatch) -> None:
    go = tmp_path / "go"  # a stand-in that notes how it is scheduled
    go.write_text('#!/bin/sh\n{ nice; cat /proc/self/autogroup; } >"$NOTED" 2>/dev/null\n')
    go.chmod(0o755)
    noted = tmp_path / "noted"
    monkeypatch.setenv("NOTED", str(noted))
    monkeypatch.setattr(gobuild, "find_go", lambda: str(go))
    monkeypatch.setattr(cache, "cache_root", lambda: tmp_path)
    program = Programs(Artifact("thing", "a" * 12), "building a thing", tmp_path, ("thing",))
    program.build_meanwhile(tmp_path / "log")
    assert program.artifact.is_built()
    niceness, *group = noted.read_text().split("\n", 1)
    assert niceness == "19"
    assert "nice" not in group[0] or "nice 19" in group[0]  # not every kernel groups by session
