"""The tree is what docs/architecture.md says: folders, names, sizes."""

import ast
import operator
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"api": ("llmi_api",), "operator": ("llmi_operator", "llmi_kubectl"), "server": ("llmi_server",)}
SOURCES = [path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager", "types", "core"}


@pytest.mark.parametrize(("folder", "packages"), PACKAGES.items())
def test_each_source_folder_holds_its_packages_and_nothing_else_importable(folder, packages):
    importable = {path.name for path in (ROOT / folder).iterdir() if path.is_dir() or path.suffix == ".py"}
    assert importable - {"__pycache__"} == set(packages)
    assert all((ROOT / folder / package / "py.typed").exists() for package in packages)


def test_the_operator_folder_does_not_shadow_the_standard_library():
    assert Path(operator.__file__).is_relative_to(sys.base_prefix)


def test_tests_have_no_package_files():
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_named_after_a_thing_and_stays_small(path):
    text = path.read_text()
    assert path.stem not in VAGUE_NAMES
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize(
    ("tests", "package"),
    [("api", "api/llmi_api"), ("operator", "operator/llmi_operator"), ("kubectl", "operator/llmi_kubectl"),
     ("server", "server/llmi_server")],
)  # fmt: skip
def test_every_folder_of_tests_mirrors_a_folder_of_code(tests, package):
    package, tests = ROOT / package, ROOT / "tests" / tests
    for path in tests.rglob("test_*.py"):
        assert (package / path.parent.relative_to(tests)).is_dir(), f"{path} tests a folder that does not exist"


def test_the_wheel_holds_all_packages(tmp_path):
    # hatchling builds a wheel without a missing package and says nothing.
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {package for packages in PACKAGES.values() for package in packages}
    assert "llmi_server/web/page/index.html" in names
