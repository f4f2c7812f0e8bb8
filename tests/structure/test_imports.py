"""Who may import whom, and what must not be imported until it is needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

# Each imports only itself and what stands before it.
ORDER = ("assistant", "retrieval", "data_recipes", "training")
APP_MAY_IMPORT = {"assistant", "retrieval"}

# Slow to import: numpy 0.1 s, PIL and pydicom 0.2 s, the rest 1 to 9 s.
HEAVY = {
    *("accelerate", "bitsandbytes", "bm25s", "datasets", "faiss", "fastapi", "gradio", "numpy", "open_clip", "peft"),
    *("PIL", "pydicom", "rich", "safetensors", "timm", "tokenizers", "torch", "torchvision", "transformers", "trl"),
    *("uvicorn", "yaml"),
}


def _imports(node: ast.AST, *, module_level: bool) -> Iterator[str]:
    """Give the dotted names that `node` imports; with `module_level`, only those that run on import."""
    for child in ast.iter_child_nodes(node):
        if module_level and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if module_level and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.Call) and ast.unparse(child.func) in {"import_module", "importlib.import_module"}:
            first = child.args[0] if child.args else None
            if isinstance(first, ast.Constant):
                yield str(first.value)
        yield from _imports(child, module_level=module_level)


def test_packages_import_only_leftwards(trees: dict[str, ast.Module]) -> None:
    wrong = []
    for file, tree in trees.items():
        package = file.split("/")[0]
        allowed = set(ORDER[: ORDER.index(package) + 1]) if package in ORDER else APP_MAY_IMPORT
        for name in _imports(tree, module_level=False):
            top = name.split(".")[0]
            if top in {*ORDER, "app"} and top not in allowed:
                wrong.append(f"{file} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_imports_are_absolute(trees: dict[str, ast.Module]) -> None:
    wrong = [
        f"{file}:{node.lineno}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong, "\n".join(wrong)


def _file_of(name: str, trees: dict[str, ast.Module]) -> list[str]:
    """Return the source files that importing the dotted `name` runs, packages first."""
    parts = name.split(".")
    found = []
    for end in range(1, len(parts) + 1):
        stem = "/".join(parts[:end])
        found += [file for file in (f"{stem}/__init__.py", f"{stem}.py") if file in trees]
    return found


def _circle(start: str, arrows: dict[str, set[str]]) -> list[str]:
    """Return the shortest way from `start` along the arrows back to it, empty if there is none."""
    ways, seen = [[start]], {start}
    for way in ways:
        for file in sorted(arrows[way[-1]]):
            if file == start:
                return [*way, start]
            if file not in seen:
                seen.add(file)
                ways.append([*way, file])
    return []


@pytest.mark.parametrize("package", ORDER)
def test_no_file_imports_itself_by_way_of_others(package: str, trees: dict[str, ast.Module]) -> None:
    # All imports count: in a function, or for types alone, they tie two files together just the same.
    arrows = {
        file: {_file_of(name, trees)[-1] for name in _imports(tree, module_level=False) if _file_of(name, trees)}
        for file, tree in trees.items()
        if file.startswith(f"{package}/")
    }
    arrows = {file: {name for name in names if name in arrows} - {file} for file, names in arrows.items()}
    circles = {" → ".join(way) for file in arrows if (way := _circle(file, arrows))}
    assert not circles, "\n".join(sorted(circles))


def test_help_imports_nothing_heavy(trees: dict[str, ast.Module]) -> None:
    waiting, seen, wrong = ["app.py"], set(), []
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in _imports(trees[file], module_level=True):
            if name.split(".")[0] in HEAVY:
                wrong.append(f"{file} imports {name} as soon as it is imported")
            waiting += _file_of(name, trees)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ORDER)
def test_importing_a_package_alone_is_light(package: str, trees: dict[str, ast.Module]) -> None:
    names = set(_imports(trees[f"{package}/__init__.py"], module_level=True))
    assert not {name.split(".")[0] for name in names} & HEAVY
