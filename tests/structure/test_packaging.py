"""pyproject.toml, constraints.txt and the wheel agree with the source."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("assistant", "retrieval", "data_recipes", "training")
TESTED_EXTRAS = ("train", "pacs", "deid", "exports", "dev")


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _requirements(project: dict[str, Any], *extras: str) -> list[Requirement]:
    optional = project["optional-dependencies"]
    return [
        Requirement(text) for text in [*project["dependencies"], *(text for name in extras for text in optional[name])]
    ]


def test_console_script_names_a_function(pyproject: dict[str, Any], trees: dict[str, ast.Module]) -> None:
    module, _, function = pyproject["project"]["scripts"]["medassist"].partition(":")
    assert module in pyproject["tool"]["setuptools"]["py-modules"]
    defined = [node.name for node in trees[f"{module}.py"].body if isinstance(node, ast.FunctionDef)]
    assert function in defined


def test_version_is_stated_once(pyproject: dict[str, Any]) -> None:
    import assistant

    assert "version" in pyproject["project"]["dynamic"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "assistant.__version__"}
    assert assistant.__version__.count(".") == 2


def test_requirements_are_ranges_without_addresses(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    loose = [
        str(requirement)
        for requirement in _requirements(project, *project["optional-dependencies"])
        if requirement.url or (not requirement.specifier and not requirement.extras)
    ]
    assert not loose, f"give these a range: {loose}"


def test_constraints_are_plain_pins(root: Path) -> None:
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert not [line for line in pins if line.count("==") != 1 or "/" in line or ";" in line or "@" in line]
    assert pins == sorted(pins, key=lambda line: canonicalize_name(line.split("==")[0]))


def test_constraints_pin_what_is_required_within_its_range(pyproject: dict[str, Any], pins: dict[str, str]) -> None:
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    wrong = []
    for requirement in _requirements(pyproject["project"], *TESTED_EXTRAS):
        version = versions.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement} is pinned to {version}")
    assert not wrong, "\n".join(wrong)


def _third_party(tree: ast.AST, *, top: bool = True) -> Iterator[tuple[str, bool]]:
    """Give each imported top-level name, and whether importing the module needs it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0], top
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or typing_only
        yield from _third_party(node, top=top and not inside)


def test_every_import_is_declared(pyproject: dict[str, Any], trees: dict[str, ast.Module]) -> None:
    project = pyproject["project"]

    def names(*extras: str) -> set[str]:
        return {canonicalize_name(requirement.name) for requirement in _requirements(project, *extras)}

    core, anything, train = names(), names(*project["optional-dependencies"]), names("train")
    known = packages_distributions()
    wrong = []
    for file, tree in trees.items():
        package = file.split("/")[0]
        needed = train if package in ("data_recipes", "training") else core
        for name, on_import in _third_party(tree):
            if name in sys.stdlib_module_names or name in {*PACKAGES, "app", "__future__"}:
                continue
            owners = {canonicalize_name(owner) for owner in known.get(name, [name])}
            if not owners & (needed if on_import else anything):
                wrong.append(f"{file} imports {name}, which pyproject.toml does not ask for there")
    assert not wrong, "\n".join(wrong)


def test_package_data_patterns_match_files(root: Path, pyproject: dict[str, Any]) -> None:
    data = pyproject["tool"]["setuptools"]["package-data"]
    empty = [
        f"{package}/{pattern}"
        for package, patterns in data.items()
        for pattern in patterns
        if not any(path.is_file() for path in (root / package).glob(pattern))
    ]
    assert not empty, f"no file matches {empty}"


def test_every_file_in_a_package_travels(root: Path, pyproject: dict[str, Any]) -> None:
    data = pyproject["tool"]["setuptools"]["package-data"]
    left = []
    for package in PACKAGES:
        covered = {path for pattern in data[package] for path in (root / package).glob(pattern)}
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and path.suffix not in {".py", ".pyc"} and path not in covered:
                left.append(str(path.relative_to(root)))
    assert not left, f"package-data in pyproject.toml leaves out {left}"


def test_every_folder_with_modules_is_a_package(root: Path) -> None:
    bare = {
        str(path.parent.relative_to(root))
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
        if not (path.parent / "__init__.py").is_file()
    }
    assert not bare, f"add __init__.py to {sorted(bare)}, or the wheel leaves them out"
