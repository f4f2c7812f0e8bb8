"""Files stay short enough to read at a sitting, functions short enough for one screen."""

from __future__ import annotations

import ast
from pathlib import Path

FILE_LINES = 300
FUNCTION_LINES = 60


def test_files_are_short(root: Path, trees: dict[str, ast.Module]) -> None:
    files = [root / file for file in trees] + sorted((root / "tests").rglob("*.py"))
    lines = {path.relative_to(root): len(path.read_text("utf-8").splitlines()) for path in files}
    long = [f"{file}: {count} lines; split it" for file, count in lines.items() if count > FILE_LINES]
    assert not long, "\n".join(long)


def test_functions_fit_a_screen(trees: dict[str, ast.Module]) -> None:
    long = []
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > FUNCTION_LINES:
                    long.append(f"{file}:{node.lineno} {node.name}: {count} lines; split it")
    assert not long, "\n".join(long)
