"""Which kernels the server takes, and what it says where there are none."""

import ctypes
import logging

import pytest
import torch

from llmi_server.kernels import library
from llmi_server.kernels.library import find_kernels

LEVELS = {"AVX2": "x86_64_v3", "AVX512": "x86_64_v4"}
CAPABILITY = torch.backends.cpu.get_cpu_capability()

needs_avx2 = pytest.mark.skipif(CAPABILITY not in LEVELS, reason=f"kernels need AVX2, and this processor: {CAPABILITY}")


@pytest.fixture(autouse=True)
def _found_anew():
    find_kernels.cache_clear()
    yield
    find_kernels.cache_clear()


@pytest.fixture
def told(caplog):
    """What was logged, as facts."""
    caplog.set_level(logging.INFO, logger="llmi_server.kernels")
    return lambda: [record.facts for record in caplog.records if record.name == "llmi_server.kernels"]


@needs_avx2
def test_they_are_found_for_this_processor_once_and_silently(told):
    found = find_kernels()
    assert found.level == LEVELS[CAPABILITY]
    assert find_kernels() is found
    assert told() == []


@needs_avx2
def test_what_is_found_computes():
    weight, rows = torch.eye(5), torch.arange(10.0).view(2, 5)
    found = find_kernels()
    assert torch.equal(found.product(rows, found.pack(weight), None, 5), rows)


@pytest.mark.skipif(CAPABILITY != "AVX512", reason=f"this processor: {CAPABILITY}")
def test_a_processor_that_is_told_to_be_older_gets_what_the_older_can_run(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert find_kernels().level == "x86_64_v3"


@pytest.mark.parametrize("capability", ["DEFAULT", "NO AVX", "VSX", "SVE256"])
def test_an_unknown_processor_computes_with_pytorch_and_it_is_told(monkeypatch, told, capability):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert find_kernels() is None
    assert find_kernels() is None
    assert [facts["processor"] for facts in told()] == ["unknown"]


def test_a_library_that_is_absent_is_done_without_and_named(monkeypatch, tmp_path, told):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    assert find_kernels() is None
    assert [facts["processor"] for facts in told()] == ["x86_64_v3"]
    assert str(tmp_path / "x86_64_v3.so") in told()[0]["reason"]


def test_a_library_that_is_none_is_done_without(monkeypatch, tmp_path, told):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    (tmp_path / "x86_64_v4.so").write_bytes(b"half a download")
    assert find_kernels() is None
    assert [facts["processor"] for facts in told()] == ["x86_64_v4"]


@needs_avx2
def test_a_pytorch_without_openmp_computes_alone(monkeypatch, told):
    load = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object() if name is None else load(name))
    assert find_kernels() is None
    assert "GOMP_parallel" in told()[0]["reason"]
