import os
import subprocess
import sys

import processor_time
from llmi_testing.eventually import eventually

GRANDCHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


def test_a_tree_has_the_children_of_children():
    with subprocess.Popen([sys.executable, "-c", GRANDCHILD], stdin=subprocess.PIPE) as child:
        eventually(lambda: len(processor_time.tree(child.pid)) == 2, seconds=60)
        assert processor_time.peak_bytes(child.pid) > processor_time.peak_bytes(processor_time.tree(child.pid)[1])


def test_what_we_use_ourselves_is_no_strangers():
    before = processor_time.Reading(at=0, machine=10, server=5, client=1)
    assert processor_time.Reading(at=2, machine=14, server=8, client=2).strangers_since(before) == 0
    assert processor_time.Reading(at=2, machine=14, server=5.5, client=1.5).strangers_since(before) == 1.5


def test_what_our_children_used_is_no_strangers_either():
    before, used_before = processor_time.read(None), os.times().children_user
    subprocess.run([sys.executable, "-c", "sum(range(10_000_000))"], check=True)
    used = os.times().children_user - used_before
    assert used > 0
    assert processor_time.read(None).client - before.client >= used * 0.999


def test_a_process_that_is_gone_has_used_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert processor_time.peak_bytes(child.pid) == 0
    assert processor_time.read(os.getpid()).client > 0
