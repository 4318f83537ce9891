"""A stand-in library is accepted by the real dynamic loader."""

import _ctypes
import ctypes
from pathlib import Path

import pytest

from elf import stand_in_library, undefined_symbols


def test_a_function_of_it_can_be_called_and_says_that_there_is_no_device(tmp_path):
    library = tmp_path / "libabsent.so.1"
    library.write_bytes(stand_in_library("libabsent.so.1", symbols=["cuInit", "ncclGetVersion"]))
    loaded = ctypes.CDLL(str(library))
    assert loaded.cuInit(0) == 100
    assert loaded.ncclGetVersion() == 100
    with pytest.raises(AttributeError):
        _ = loaded.cuMissing


def test_it_names_what_it_needs(tmp_path):
    (tmp_path / "libhollow.so").write_bytes(stand_in_library("libhollow.so", needed="libnowhere.so.9"))
    with pytest.raises(OSError, match=r"libnowhere\.so\.9"):
        ctypes.CDLL(str(tmp_path / "libhollow.so"))


def test_the_symbols_that_a_real_library_expects_from_others_are_found():
    # A library that is certainly there.
    assert "PyErr_SetString" in undefined_symbols(Path(_ctypes.__file__).read_bytes())
