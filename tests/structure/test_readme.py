"""Commands written in the README and docs name real modules and flags; local links lead somewhere."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?:console|bash|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
WITH_PARTS = ("data_recipes.build", "benchmarks.worklist")
"""Programs whose first argument has options of its own, which its own help tells."""
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)[^)]*\)")


def _commands(page: Path) -> list[str]:
    """Return the command lines of a page's shell blocks; in a block with `$ ` prompts, only those lines."""
    commands = []
    for block in FENCE.findall(page.read_text("utf-8")):
        lines = block.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        commands += prompted or [line for line in lines if line and not line.startswith("#")]
    return commands


CASES = [pytest.param(command, id=f"{page.name}: {command}") for page in PAGES for command in _commands(page)]


def _run_here(program: Sequence[str], *arguments: str) -> None:
    """Run one of our programs as `python` would, but in this process."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Some modules were imported by other tests before; a second copy of them is what is wanted here.
        warnings.filterwarnings("ignore", message=r".*found in sys\.modules", category=RuntimeWarning)
        if program[0] == "-m":
            patch.setattr(sys, "argv", ["", *program[2:], *arguments])
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            patch.setattr(sys, "argv", [*program, *arguments])
            runpy.run_path(program[0], run_name="__main__")


@functools.cache
def _help(*program: str) -> str:
    """Return what a program prints for --help."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("COLUMNS", "200")
        patch.chdir(ROOT)
        with pytest.raises(SystemExit) as ended:
            _run_here(program, "--help")
    assert not ended.value.code, printed.getvalue()
    return printed.getvalue()


@functools.cache
def _app_commands() -> tuple[str, ...]:
    """Return the names in the braces of `usage: … {chat,ask,…}`."""
    found = re.search(r"\{([\w,]+)\}", _help("app.py"))
    assert found, "the help of app.py lists no commands"
    return tuple(found[1].split(","))


def _program(words: list[str]) -> tuple[list[str], list[str]] | None:
    """Split a command line into one of our programs and its arguments; None if it runs something else."""
    if words[0] == "medassist":
        words = ["python", "app.py", *words[1:]]
    if words[0] not in ("python", "python3"):
        return None
    if words[1] == "app.py":
        if len(words) > 2 and not words[2].startswith("-"):
            assert words[2] in _app_commands(), f"app.py has no command {words[2]}"
            return words[1:3], words[3:]
        return words[1:2], words[2:]
    if words[1] == "-m" and (ROOT / words[2].split(".")[0]).is_dir():
        own = words[2] in WITH_PARTS and words[3:] and not words[3].startswith("-")
        end = 4 if own else 3
        return words[1:end], words[end:]
    return None


@pytest.mark.parametrize("command", CASES)
def test_command_names_what_exists(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in targets)
    found = _program(words)
    if found is None:
        return
    program, arguments = found
    ours = [word for word in arguments if word.startswith(("training/", "assistant/", "retrieval/"))]
    assert not [word for word in ours if not (ROOT / word).exists()]
    flags = {word.partition("=")[0] for word in arguments if re.match(r"--?[A-Za-z]", word)}
    missing = [flag for flag in flags if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", _help(*program))]
    assert not missing, f"{' '.join(program)} has no {missing}"


def _shown(page: Path) -> list[tuple[str, str]]:
    """Return the commands of `$ ` blocks that show what they print, with that."""
    found: list[tuple[str, str]] = []
    for block in FENCE.findall(page.read_text("utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.replace("\\\n", " ").partition("\n")
            if printed.strip():
                found.append((command, printed.rstrip()))
    return found


def _without_numbers(text: str) -> str:
    """Return a text in which counts, times and percentages, which differ between machines, are all the same."""
    return re.sub(r"\d+(?:[.,]\d+)?", "0", text)


@pytest.mark.parametrize(
    ("command", "printed"),
    [pytest.param(*one, id=f"{page.name}: {one[0]}") for page in PAGES for one in _shown(page)],
)
def test_command_prints_what_the_page_shows(
    command: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, arguments = _program(shlex.split(command, comments=True)) or ([], [])
    assert program, f"only our own programs can be held to what they print, not {command}"
    if "--out" in arguments:
        arguments[arguments.index("--out") + 1] = str(tmp_path / "out")
        printed = re.sub(r"(?<=→ )\S+", str(tmp_path / "out"), printed)
    said = io.StringIO()
    monkeypatch.chdir(ROOT)
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        _run_here(program, *arguments)
    assert _without_numbers(said.getvalue().rstrip()) == _without_numbers(printed), capsys.readouterr().err[-2000:]


def test_the_readme_shows_an_answer_and_a_report() -> None:
    commands = [command.split()[2] for command, _ in _shown(PAGES[0])]
    assert {"ask", "report"} <= set(commands)


def test_the_readme_gives_the_scores_of_the_card() -> None:
    card = (ROOT / "assistant" / "starter" / "README.md").read_text("utf-8")
    tables = re.findall(r"^\| What \| Questions \|.*?\n\n", card, re.DOTALL | re.MULTILINE)
    assert tables
    readme = PAGES[0].read_text("utf-8")
    assert all(table in readme for table in tables), "copy the tables again: the shipped model is another one"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page: Path) -> None:
    links = [target for target in LINK.findall(page.read_text("utf-8")) if not (page.parent / target).exists()]
    assert not links


def test_file_tree_names_what_exists() -> None:
    """The README's tree names folders and files; each line is `name/ or name.py   what it is`."""
    text = (ROOT / "README.md").read_text("utf-8")
    tree = re.search(r"^```text\n(app\.py.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert tree, "the README has no file tree"
    missing, folder = [], ""
    for line in tree[1].splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        path = (folder if indent else "") + name
        if not indent:
            folder = name if name.endswith("/") else ""
        if not (ROOT / path).exists():
            missing.append(path)
    assert not missing


def test_pages_have_no_python_block_that_does_not_parse() -> None:
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            ast.parse(block, str(page))
