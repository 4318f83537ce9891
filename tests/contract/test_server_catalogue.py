"""Each fault and each kind of bad input in the server's catalogue is made by the tests that it names."""

import ast
from functools import cache
from pathlib import Path

import pytest

from llmi_testing.server_catalogue import BAD_INPUT, FAULTS

ROOT = Path(__file__).parents[2]
ALL = FAULTS | BAD_INPUT


@cache
def tree(file):
    return ast.parse((ROOT / "tests" / "server" / file).resolve().read_text())


@cache
def functions(file):
    return {node.name for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@cache
def rows(file):
    """Keys of the tables that a file's tests walk."""
    keys = (key for node in ast.walk(tree(file)) if isinstance(node, ast.Dict) for key in node.keys)
    return {key.value for key in keys if isinstance(key, ast.Constant)}


@pytest.mark.parametrize("tests", ALL.values(), ids=ALL.keys())
def test_a_test_makes_each_of_them(tests):
    assert tests
    for test in tests:
        file, _, rest = test.partition("::")
        function, _, row = rest.partition(":")
        if not function:
            assert (ROOT / file).is_file(), test
            continue
        assert function in functions(file), test
        assert not row or row in rows(file), test


@pytest.mark.parametrize(("table", "prefix", "last"), [(FAULTS, "S", 25), (BAD_INPUT, "", 100)])
def test_none_is_left_out(table, prefix, last):
    assert [name.split()[0] for name in table] == [f"{prefix}{number}" for number in range(1, last + 1)]
