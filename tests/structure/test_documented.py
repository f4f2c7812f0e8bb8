"""Whatever has a public name says what it is for, and every function names its types."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Give public classes, functions and methods with their dotted names; not what is inside functions."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_") and not _repeats(node):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{prefix}{node.name}.")


def _repeats(node: Definition) -> bool:
    """Whether this is an overload or a setter, documented where the name is first defined."""
    marks = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(mark.endswith(("overload", "override", ".setter")) for mark in marks)


def test_modules_have_docstrings(trees: dict[str, ast.Module]) -> None:
    bare = [file for file, tree in trees.items() if not ast.get_docstring(tree)]
    assert not bare, "\n".join(bare)


def test_public_names_have_docstrings(trees: dict[str, ast.Module]) -> None:
    bare = [
        f"{file}:{node.lineno} {name}"
        for file, tree in trees.items()
        for name, node in _public(tree.body)
        if not ast.get_docstring(node)
    ]
    assert not bare, "\n".join(bare)


def test_init_files_hold_little(trees: dict[str, ast.Module]) -> None:
    full = [
        f"{file} defines {node.name}"
        for file, tree in trees.items()
        if file.endswith("__init__.py")
        for node in tree.body
        if isinstance(node, Definition) and node.name not in {"__getattr__", "__dir__"}
    ]
    assert not full, "\n".join(full)
