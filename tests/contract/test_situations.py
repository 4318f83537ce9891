"""Each situation that WHY tells apart is produced on a real API server or a real cluster, by the test that it names."""

import ast
from functools import cache
from pathlib import Path

import pytest

from llmi_testing.situations import SITUATIONS

TESTS = Path(__file__).parents[1]


@cache
def functions(file):
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.name)
def test_a_real_test_produces_it(case):
    file, function = case.real.split("::")
    assert file.split("/")[0] in {"apiserver", "faults", "cluster"}
    assert function in functions(file)


def test_no_two_situations_have_one_name():
    assert len({case.name for case in SITUATIONS}) == len(SITUATIONS)
