"""What pages say of tests and of independent tools is so: the tests exist, and the tools are run in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NAMED = re.compile(r"`(tests/[\w./]+\.py)(?:::(\w+))?`")


def _pages(root: Path) -> list[Path]:
    return [root / "README.md", root / "SECURITY.md", *sorted((root / "docs").glob("*.md"))]


def test_each_test_that_a_page_names_exists(root: Path) -> None:
    wrong = []
    for page in _pages(root):
        for file, function in NAMED.findall(page.read_text("utf-8")):
            source = (root / file).read_text("utf-8") if (root / file).is_file() else ""
            wanted = f"def {function}(" if function else "def test_"
            if wanted not in source:
                wrong.append(f"{page.name}: {file} {function}".strip())
    assert not wrong, "\n".join(wrong)


def test_each_threat_names_what_stops_it_and_a_test(root: Path) -> None:
    text = (root / "SECURITY.md").read_text("utf-8")
    table = text.partition("## Who could do what")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    bare = [row for row in rows if row.count(" | ") != 3 or not NAMED.search(row.rpartition(" | ")[2])]
    assert len(rows) > 20
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize(
    ("tool", "folder"),
    [
        *((one, "exports") for one in ("dsrdump", "dcm2pdf", "pdftotext", "dcmdump", "dciodvfy", "tesseract", "pypdf")),
        *((one, "exports") for one in ("docx", "hl7apy", "fhir.resources", "html.parser", "csv")),
        ("dcmdump", "deidentify"), ("tesseract", "deidentify"),
    ],
)  # fmt: skip
def test_each_independent_tool_is_run_in_the_tests(root: Path, tool: str, folder: str) -> None:
    sources = [path.read_text("utf-8") for path in (root / "tests" / "assistant" / folder).glob("test_*.py")]
    assert any(tool in one for one in sources)
