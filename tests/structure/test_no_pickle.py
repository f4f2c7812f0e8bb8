"""Nothing runs code that came with data, opens the page to the world, or talks on stdout unasked."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "torch.load": "reads pickles; use safetensors",
    "torch.save": "writes pickles; use safetensors",
    "torch.hub.load": "runs downloaded code",
    "yaml.load": "builds any object; use yaml.safe_load",
    "yaml.unsafe_load": "builds any object; use yaml.safe_load",
    "yaml.full_load": "builds many objects; use yaml.safe_load",
    "os.system": "runs a shell; use subprocess with a list",
    "pd.read_pickle": "reads pickles",
}
FORBIDDEN_TRUE = {"share", "trust_remote_code", "allow_pickle", "shell"}


def _calls(tree: ast.Module) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _offences(trees: dict[str, ast.Module], find: Callable[[ast.Module], list[tuple[int, str]]]) -> str:
    return "\n".join(f"{file}:{line} {what}" for file, tree in trees.items() for line, what in find(tree))


def test_no_module_that_unpickles(trees: dict[str, ast.Module]) -> None:
    def find(tree: ast.Module) -> list[tuple[int, str]]:
        found = []
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [(node.lineno, f"imports {name}") for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        return found

    assert not (wrong := _offences(trees, find)), wrong


def test_no_call_that_runs_what_it_reads(trees: dict[str, ast.Module]) -> None:
    def find(tree: ast.Module) -> list[tuple[int, str]]:
        names = [(call.lineno, ast.unparse(call.func)) for call in _calls(tree)]
        return [(line, f"{name}: {FORBIDDEN_CALLS[name]}") for line, name in names if name in FORBIDDEN_CALLS]

    assert not (wrong := _offences(trees, find)), wrong


def test_nothing_is_shared_or_trusted_by_a_flag(trees: dict[str, ast.Module]) -> None:
    def find(tree: ast.Module) -> list[tuple[int, str]]:
        return [
            (call.lineno, f"{word.arg}={ast.unparse(word.value)}")
            for call in _calls(tree)
            for word in call.keywords
            if word.arg in FORBIDDEN_TRUE and not (isinstance(word.value, ast.Constant) and word.value.value is False)
        ]

    assert not (wrong := _offences(trees, find)), wrong


def test_only_commands_print(trees: dict[str, ast.Module]) -> None:
    def find(tree: ast.Module) -> list[tuple[int, str]]:
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            return []
        return [(call.lineno, "prints") for call in _calls(tree) if ast.unparse(call.func) == "print"]

    assert not (wrong := _offences(trees, find)), wrong


def test_no_weights_that_could_be_pickles(root: Path) -> None:
    suffixes = {".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"}
    packages = ("assistant", "retrieval", "data_recipes", "training", "tests", "docs")
    found = [str(path) for name in packages for path in (root / name).rglob("*") if path.suffix in suffixes]
    assert not found, "\n".join(found)
