import os
import subprocess
import sys

import pytest

from llmi_server.engine.heap import with_huge_pages
from llmi_testing.own_modules import with_own_modules

# What loading does: large blocks come and go, and small ones that stay lie between them.
PROGRAM = """
import sys
from contextlib import nullcontext
import torch
from llmi_server.engine.heap import returned_at_once

MIB = 1 << 20

def held():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["RssAnon"].split()[0]) // 1024

torch.empty(16 * MIB, dtype=torch.uint8)  # from here on glibc takes blocks of this size from its heap
kept = []
before = held()
with returned_at_once() if sys.argv[1] == "yes" else nullcontext():
    blocks = []
    for _ in range(20):
        blocks.append(torch.ones(10 * MIB, dtype=torch.uint8))
        kept.append(torch.ones(MIB // 2, dtype=torch.uint8))
    blocks.clear()
print(held() - before)
"""


def left_after_loading(returned):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, returned],
        capture_output=True,
        text=True,
        check=True,
        env=with_own_modules(dict(os.environ)),
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, and glibc is meant")
def test_what_loading_lets_go_goes_back_to_the_system():
    assert left_after_loading("yes") < 40
    assert left_after_loading("no") > 150, "glibc gives it back by itself: then the module is of no use"


def test_a_process_is_asked_to_use_huge_pages_beside_what_its_variables_say():
    assert with_huge_pages({})["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    both = with_huge_pages({"GLIBC_TUNABLES": "glibc.malloc.check=3", "HOME": "/"})
    assert both == {"GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.hugetlb=1", "HOME": "/"}


def test_who_has_decided_on_huge_pages_is_asked_nothing():
    decided = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert with_huge_pages(decided) == decided
